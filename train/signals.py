"""SIGTERM and SIGINT as a request to save and stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class StopRequest:
    """Whether somebody asked the run to stop; the loop looks between updates."""

    requested: bool = False


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Turn the first SIGTERM or SIGINT into a request; a second one acts as it did before.

    Outside the main thread, where Python delivers no signals, nothing is installed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in _SIGNALS}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        request.requested = True
        restore()

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield request
    finally:
        restore()
