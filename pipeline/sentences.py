"""An error as one sentence for people: what happened, where, and what to do about it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import ValidationError

from pipeline.errors import OptionError

_MAKE_ROOM: Final = "Make room there and run the same command again: what is done is kept."
_ALLOW: Final = "Give this user the right to do that there, or choose another place."
ADVICE: Final = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "Mount it writable, or choose another place.",
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
}
"""What is to be done about errors of the operating system that no second try mends."""


def sentence(error: BaseException) -> str:
    """The message of an error of ours; of the operating system's, what it says, the path and our advice."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    place = f": {error.filename}" if error.filename else ""
    advice = ADVICE.get(error.errno or 0)
    return f"{error.strerror}{place}" + (f". {advice}" if advice else "")


def what_is_wrong(error: ValidationError) -> str:
    """Every value that cannot be, by the name of its field."""
    wrong = (f"{_place(e['loc'])}: {e['msg']}, got {e['input']!r}" for e in error.errors())
    return f"{'; '.join(wrong)}."


@contextmanager
def telling_what_is_wrong() -> Iterator[None]:
    """Turn pydantic's account of values that cannot be into an OptionError of one sentence."""
    try:
        yield
    except ValidationError as error:
        raise OptionError(what_is_wrong(error)) from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "value"
