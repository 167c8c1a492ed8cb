"""How a store is named on the command line: by its folder, or where it is only read by s3://BUCKET/PREFIX.

Options of type Path would make s3:/BUCKET/PREFIX of the latter, so every option that names a store is parsed
here. Legend of metavars: PATH a folder, ADDRESS a folder or an S3 address.
"""

from pathlib import Path
from typing import Any, Final

from pipeline.errors import OptionError

SCHEME: Final = "s3://"


def _read_from(place: str) -> Path:
    # tensorstore takes a while to import, and few commands need it for a folder.
    if not place.startswith(SCHEME):
        return Path(place)
    from store_schema.remote_files import folder_of

    return folder_of(place)


def _on_disk(place: str) -> Path:
    if place.startswith(SCHEME):
        raise OptionError(
            f"{place} is on object storage, where stores are read and nothing else: this command needs the "
            "files of a store on a disk. Copy it to one, or name a folder and upload the finished store."
        )
    return Path(place)


READ_FROM: Final[dict[str, Any]] = {"parser": _read_from, "metavar": "ADDRESS"}
"""Arguments of a `typer.Option` or `typer.Argument` that names a store to read, in a folder or on S3."""
ON_DISK: Final[dict[str, Any]] = {"parser": _on_disk, "metavar": "PATH"}
"""The same of a store that is written or measured, which has to lie in a folder."""


def require_on_disk(store: Path, what: str) -> None:
    """Raise OptionError where `what` is asked of a folder that stands for a store on object storage."""
    from store_schema.remote_files import address_of

    address = address_of(store)
    if address is not None:
        raise OptionError(
            f"{what} needs the files of the store, and {address} is on object storage. Copy it to a disk, "
            "and name the folder."
        )
