"""Which room may import what, read off the syntax trees; nothing is imported."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("store_schema", "featurize", "train", "pipeline")
MAY_IMPORT = {
    "store_schema": {"store_schema"},
    "featurize": {"featurize", "store_schema"},
    "train": {"train", "store_schema"},
    "pipeline": set(ROOMS),
}
VIDEO_AND_SOURCES = {"av", "decord", "h5py", "transformers", "safetensors"}


def imported(source: str) -> set[str]:
    """Top-level packages of every import in a module, those inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that their direction can be read"
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {str(a.value).split(".")[0] for a in node.args if isinstance(a, ast.Constant)}
    return names


def imports_of(room: str) -> dict[str, set[str]]:
    modules = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / room).rglob("*.py")}
    assert modules
    return {name: imported(path.read_text(encoding="utf-8")) for name, path in modules.items()}


def importers(room: str, packages: set[str]) -> dict[str, set[str]]:
    return {module: names & packages for module, names in imports_of(room).items() if names & packages}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_it_stands_on(room):
    assert importers(room, set(ROOMS) - MAY_IMPORT[room]) == {}


@pytest.mark.parametrize("room", ["store_schema", "featurize", "train"])
def test_prefect_stays_in_the_pipeline(room):
    assert importers(room, {"prefect", "prefect_dask", "typer"}) == {}


def test_training_needs_neither_video_nor_source_nor_encoder():
    assert importers("train", VIDEO_AND_SOURCES) == {}


def test_an_import_inside_a_function_is_seen():
    assert imported("def f():\n    from prefect.tasks import task") == {"prefect"}
    assert imported("import importlib\nimportlib.import_module('train.loop')") == {"importlib", "train"}
