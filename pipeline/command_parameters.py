"""The options of a command as the parameters of a flow: the same names, types, defaults, bounds and help."""

import inspect
from collections.abc import Callable, Collection, Iterator
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import Field, TypeAdapter, WithJsonSchema
from typer.models import ParameterInfo


def parameters_of(command: Callable[..., None], names: Collection[str]) -> list[inspect.Parameter]:
    """Keyword parameters for those options of `command` that are among `names`, in its order."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in _options(command)
        if name in names
    ]


def docstring_of(command: Callable[..., None], names: Collection[str], summary: str) -> str:
    """What a flow with these parameters says of itself and of each, where Prefect looks for it."""
    lines = [
        f"    {name}: {annotation.__metadata__[0].description}"
        for name, annotation, _ in _options(command)
        if name in names
    ]
    return "\n".join([summary, "", "Args:", *lines])


def option_names(command: Callable[..., None]) -> list[str]:
    """All options of a command but --json, which says how a terminal is written to."""
    return [name for name, _, _ in _options(command) if name != "as_json"]


def _options(command: Callable[..., None]) -> Iterator[tuple[str, Any, Any]]:
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        hint = hints[name]
        (info,) = (item for item in hint.__metadata__ if isinstance(item, ParameterInfo))
        field = Field(description=info.help, ge=info.min, le=info.max)
        yield name, _without_null(hint.__origin__, field), parameter.default


def _without_null(type_: Any, field: Any) -> Any:
    """Ask for a value or for nothing, where the UI would first ask which of two types it is to be."""
    of_value = [part for part in get_args(type_) if part is not NoneType]
    if len(of_value) != 1 or NoneType not in get_args(type_):
        return Annotated[type_, field]
    return Annotated[type_, field, WithJsonSchema(TypeAdapter(of_value[0]).json_schema())]
