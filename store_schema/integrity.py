"""Are two stores the same?"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from store_schema.atomic import PARTIAL_SUFFIX
from store_schema.format import BUILD_FOLDER
from store_schema.rules.seal import file_sha256


def digest(path: Path) -> str:
    """SHA-256 over the names and contents of all files of a sealed store: equal stores, equal digests.

    Working files of the build and leftovers of killed writes are not counted.
    """
    total = hashlib.sha256()
    for file in sorted(_content_files(path)):
        total.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def _content_files(path: Path) -> Iterator[Path]:
    for file in path.rglob("*"):
        is_working = file.relative_to(path).parts[0] == BUILD_FOLDER or file.name.endswith(PARTIAL_SUFFIX)
        if file.is_file() and not is_working:
            yield file
