"""Files of a store on object storage that somebody wants as files, and the folder that stands for it here.

`object_store.py` lets a folder stand for a store; here are a place for such folders, and the way back from
one to its address.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import tensorstore

from store_schema.atomic import write_atomically
from store_schema.format import ArraySpec
from store_schema.layout import slot_path
from store_schema.ledger_row import LedgerRow
from store_schema.object_store import (
    KeyValueStore,
    ObjectStoreError,
    s3_store,
    stand_in,
    stands_for,
    with_few_retries,
)
from store_schema.problem import Problem
from store_schema.rules.slots import is_as_recorded

SCHEME: Final = "s3://"


def folder_of(place: str) -> Path:
    """The folder to open a store by: the one named, or that which stands for the store at an S3 address.

    The latter is brought up to date now. It lies in the user's cache (XDG_CACHE_HOME, or ~/.cache) and may be
    deleted. Raises what `stand_in` raises.
    """
    return _standing_for(place) if place.startswith(SCHEME) else Path(place)


def place_of(store: Path) -> str:
    """How people name a store: by its folder, or by its address."""
    return address_of(store) or str(store)


def _standing_for(url: str) -> Path:
    named = "\n".join(f"{name}={value}" for name, value in sorted(s3_store(url).items()))
    place = hashlib.sha256(named.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return stand_in(url, cache / "permafrost" / "stores" / place / url.rstrip("/").rpartition("/")[2])


def address_of(store: Path) -> str | None:
    """The S3 address of the store that a folder stands for; None of one that lies in its folder."""
    kvstore = stands_for(store)
    return None if kvstore is None else f"{SCHEME}{kvstore['bucket']}/{kvstore['path'].rstrip('/')}"


def problems_of_file(store: Path, spec: ArraySpec, row: LedgerRow) -> list[Problem]:
    """What the ledger says against one file of a slot, which lies in the store's folder after that.

    From object storage it is fetched where the folder does not have it as recorded. Raises ObjectStoreError.
    """
    problems, kvstore = list(is_as_recorded(store, spec, row)), stands_for(store)
    if not problems or kvstore is None:
        return problems
    _fetch(_opened(kvstore), slot_path(spec, row.slot), store)
    return list(is_as_recorded(store, spec, row))


@contextmanager
def files_of_slot(store: Path, specs: Mapping[str, ArraySpec], row: LedgerRow) -> Iterator[Path]:
    """A folder with all files of a slot in their places: the store's own, or while this lasts copies.

    A file that is missing there is missing here. Raises ObjectStoreError.
    """
    kvstore = stands_for(store)
    if kvstore is None:
        yield store
        return
    with TemporaryDirectory(prefix="permafrost-") as folder:
        opened = _opened(kvstore)
        for file in row.files:
            if file.array in specs:
                _fetch(opened, slot_path(specs[file.array], row.slot), Path(folder))
        yield Path(folder)


def frame_files(store: Path, specs: Mapping[str, ArraySpec]) -> Iterator[str]:
    """Names of all files of per-frame arrays, wherever they lie. Raises ObjectStoreError."""
    folders = tuple(f"{spec.name}/c/" for spec in specs.values() if spec.per_frame)
    kvstore = stands_for(store)
    if kvstore is None:
        for top in folders:
            for folder, _, files in os.walk(store / top):
                yield from (Path(folder, file).relative_to(store).as_posix() for file in files)
        return
    try:
        names = [name.decode() for name in _opened(kvstore).list().result()]
    except ValueError as error:
        raise ObjectStoreError(f"{address_of(store)} cannot be listed: {error}") from error
    yield from (name for name in names if name.startswith(folders))


def _opened(kvstore: KeyValueStore) -> Any:
    return tensorstore.KvStore.open(with_few_retries(kvstore)).result()


def _fetch(opened: Any, name: str, folder: Path) -> None:
    """Write an object to its place in `folder`; one that is missing leaves nothing there."""
    try:
        found = opened.read(name).result()
    except ValueError as error:
        raise ObjectStoreError(f"{name} cannot be read from object storage: {error}") from error
    if found.state == "value":
        write_atomically(folder / name, found.value)
