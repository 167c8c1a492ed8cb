"""A step of stage two as a flow where a Prefect server runs, and plainly where none does."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pipeline.commands.output import say
from pipeline.errors import RunStoppedError, ServerNotReachableError
from pipeline.running_ui import may_have_server

if TYPE_CHECKING:
    from prefect import Flow

T = TypeVar("T")
RequestT = TypeVar("RequestT")


def run_step(plain: Callable[[RequestT], T], flow_name: str, request: RequestT) -> T:
    """What `plain` makes of `request`, shown as this flow of `pipeline.train_flow` where a server runs.

    Of several processes the first alone reports. A server that does not answer, or answers no more, costs
    nothing but the showing.
    """
    address = _server()
    if address is None:
        return plain(request)
    from pipeline import train_flow
    from pipeline.prefect_server import shown_address, use_server

    say(f"Prefect API: {shown_address(address)}")
    with use_server(address):
        return run_shown(getattr(train_flow, flow_name), plain, request)


def run_shown(flow: "Flow[[RequestT], Any]", plain: Callable[[RequestT], T], request: RequestT) -> T:
    """What the body of `flow` returns or raises, whatever becomes of the server meanwhile.

    Where the flow does not even begin, `plain` does the work.
    """
    outcome: Future[T] = Future()
    shown = flow.with_options()
    shown.fn = _recording(flow.fn, outcome)
    problem: Exception | None = None
    try:
        shown(request)
    except RunStoppedError:
        pass
    except Exception as error:  # noqa: BLE001 - of the body, which is raised below, or of Prefect
        problem = error
    if not outcome.done():
        say(f"Not shown in Prefect, which cannot begin the flow: {_first_line(problem)}")
        return plain(request)
    if problem is not None and problem is not outcome.exception():
        say(f"How it ended is not shown in Prefect: {_first_line(problem)}")
    return outcome.result()


def _server() -> str | None:
    from train.launch import is_first_process

    if not (is_first_process() and may_have_server()):
        return None
    from pipeline.prefect_server import find_server

    try:
        return find_server()
    except ServerNotReachableError as error:
        say(f"Not shown in Prefect: {error}")
        return None


def _recording(body: Callable[..., Any], outcome: "Future[T]") -> Callable[..., Any]:
    from prefect import State

    @wraps(body)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        try:
            returned = body(*args, **kwargs)
        except Exception as error:
            outcome.set_exception(error)
            raise
        # The state of a run that was stopped, and in it how far it has come.
        outcome.set_result(cast(Any, returned).data.result if isinstance(returned, State) else returned)
        return returned

    return recorded


def _first_line(problem: Exception | None) -> str:
    return (str(problem) or repr(problem)).splitlines()[0]
