"""Reading a file of torch.save that others made: tensors and plain values, and none of its code is run."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch


class TensorFileError(ValueError):
    """A file that is not a mapping of tensors and plain values; the message goes on after the file's name."""


def read_tensor_file(path: Path, *, mapped: bool = False) -> dict[Any, Any]:
    """The mapping in a file, on the CPU; `mapped` leaves tensors on the disk until they are used.

    Raises TensorFileError.
    """
    try:
        ensure_uncompressed(path)
        mapped = mapped and zipfile.is_zipfile(path)  # torch maps no file of its older formats
        content = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except pickle.UnpicklingError as error:
        raise TensorFileError(
            "cannot be read as tensors and plain values: it is no file of torch.save, or it holds objects "
            "that would run code when loaded. Fetch or export it again, as a state dict."
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TensorFileError(
            f"cannot be read as tensors and plain values: {_first_line(error)}. "
            "It may be damaged or only partly copied; fetch it again."
        ) from error
    if not isinstance(content, dict):
        raise TensorFileError(f"holds a {type(content).__name__}; expected a mapping.")
    return content


def ensure_uncompressed(path: Path) -> None:
    """Raise TensorFileError for a zip file with compressed members, which torch.save never writes.

    A small one may unpack to more than the memory of this machine, and where torch maps the file it takes the
    compressed bytes for the values. Raises OSError where there is no file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [member.filename for member in archive.infolist() if member.compress_type]
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return  # torch says what is wrong with it, or it is of an older format
    if compressed:
        raise TensorFileError(
            f"has {len(compressed)} compressed members, the first is {compressed[0]!r}; "
            "torch.save compresses none. Fetch or export it again."
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
