"""Errors that a user can act on become one message; a slip of ours keeps its traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from pipeline.errors import OUR_PACKAGES
from pipeline.sentences import sentence, what_is_wrong


@contextmanager
def exit_with_message() -> Iterator[None]:
    """Print a named error of ours, or one of the operating system, to stderr and exit with code 1."""
    try:
        yield
    except ValidationError as error:
        _exit(what_is_wrong(error))
    except OSError as error:
        _exit(sentence(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in OUR_PACKAGES:
            raise
        _exit(str(error))


def _exit(message: str) -> None:
    print(f"permafrost: {message}", file=sys.stderr)
    raise SystemExit(1)
