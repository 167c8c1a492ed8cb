"""A store behind an S3-compatible server on loopback is read like one on disk, and its damage is found."""

from pathlib import Path

import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from store_schema.array_readers import TensorstoreReader
from store_schema.errors import DamagedStoreError, SchemaError, StoreNotFoundError
from store_schema.format import SLOT_FRAMES
from store_schema.layout import slot_path
from store_schema.ledger_row import HASHED_ARRAYS
from store_schema.object_store import ObjectStoreError, s3_store, stand_in
from store_schema.reader import ClipReader
from store_schema.store import Store

from ..s3_server import BUCKET, client, s3_server, upload

URL, PREFIX = "s3://stores/robots/tiny.zarr", "robots/tiny.zarr"
server = pytest.fixture(s3_server)


@pytest.fixture
def uploaded(server: ThreadedMotoServer, shared_store: Path) -> Path:
    """The store that lies there, each kind in turn."""
    upload(shared_store, BUCKET, PREFIX)
    return shared_store


def read(store: Store, first_frame: int, num_frames: int) -> dict[str, np.ndarray]:
    specs = [store.specs[name] for name in HASHED_ARRAYS if name in store.specs]
    out = {spec.name: np.empty((num_frames, *spec.item_shape), spec.dtype) for spec in specs}
    ClipReader.open(store).read_arrays(first_frame, out)
    return out


@pytest.mark.parametrize(("start", "num_frames"), [(0, 16), (120, 9), (128, 1)])
def test_the_same_frames_come_from_there(uploaded: Path, tmp_path: Path, start: int, num_frames: int) -> None:
    there, here = Store.open(stand_in(URL, tmp_path / "tiny.zarr")), Store.open(uploaded)
    assert isinstance(ClipReader.open(there).array_reader, TensorstoreReader)
    assert there.trajectories == here.trajectories
    assert not (tmp_path / "tiny.zarr/latents/c").exists(), "frames stay where they are"
    for name, entries in read(there, SLOT_FRAMES + start, num_frames).items():
        assert entries.tobytes() == read(here, SLOT_FRAMES + start, num_frames)[name].tobytes(), name


def test_a_flipped_bit_there_is_found(uploaded: Path, tmp_path: Path) -> None:
    store = Store.open(stand_in(URL, tmp_path / "tiny.zarr"))
    name = slot_path(store.specs["states"], 1)
    data = (uploaded / name).read_bytes()
    changed = bytes([data[0] ^ 1]) + data[1:]
    client().put_object(Bucket=BUCKET, Key=f"{PREFIX}/{name}", Body=changed)
    with pytest.raises(DamagedStoreError, match=r"Frame 0 of slot 1 \(episode episode-1\) differs"):
        read(store, SLOT_FRAMES, 4)


def test_an_object_that_is_missing_there_is_damage(uploaded: Path, tmp_path: Path) -> None:
    store = Store.open(stand_in(URL, tmp_path / "tiny.zarr"))
    client().delete_object(Bucket=BUCKET, Key=f"{PREFIX}/{slot_path(store.specs['latents'], 1)}")
    with pytest.raises(DamagedStoreError, match="Slot 1 of array 'latents' cannot be read"):
        read(store, SLOT_FRAMES, 4)


def test_only_what_differs_from_the_seal_is_fetched_again(uploaded: Path, tmp_path: Path) -> None:
    folder = stand_in(URL, tmp_path / "tiny.zarr")
    (folder / "ledger.parquet").write_bytes(b"cut")
    kept = (folder / "trajectories.parquet").stat().st_ino
    stand_in(URL, folder)
    assert (folder / "trajectories.parquet").stat().st_ino == kept
    assert (folder / "ledger.parquet").read_bytes() == (uploaded / "ledger.parquet").read_bytes()


def test_a_server_that_does_not_answer_is_no_damage(
    uploaded: Path, server: ThreadedMotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store_schema.object_store._MAX_RETRIES", 1)
    store = Store.open(stand_in(URL, tmp_path / "tiny.zarr"))
    server.stop()
    with pytest.raises(ObjectStoreError, match=r"Slot 1 of array 'latents' cannot be read: .*connect"):
        read(store, SLOT_FRAMES, 4)
    with pytest.raises(ObjectStoreError, match=r"s3://stores/robots/tiny.zarr/zarr.json cannot be read"):
        stand_in(URL, tmp_path / "other.zarr")


def test_a_table_that_is_not_as_sealed_is_refused(uploaded: Path, tmp_path: Path) -> None:
    name = f"{PREFIX}/trajectories.parquet"
    client().put_object(Bucket=BUCKET, Key=name, Body=b"another store's")
    with pytest.raises(DamagedStoreError, match=r"trajectories.parquet is not what the seal says"):
        stand_in(URL, tmp_path / "tiny.zarr")


def test_an_address_without_a_store_is_said(server: ThreadedMotoServer, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"There is no zarr.json at s3://stores/robots/tiny.zarr"):
        stand_in(URL, tmp_path / "tiny.zarr")


@pytest.mark.parametrize("url", ["gs://bucket/store", "/data/store", "s3://bucket", "s3:///store"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(StoreNotFoundError, match=r"are named s3://BUCKET/PREFIX; got"):
        s3_store(url)


def test_a_store_that_is_not_sealed_is_refused(
    server: ThreadedMotoServer, building_store: Path, tmp_path: Path
) -> None:
    client().upload_file(str(building_store / "zarr.json"), BUCKET, f"{PREFIX}/zarr.json")
    with pytest.raises(SchemaError, match="is not sealed with hashes"):
        stand_in(URL, tmp_path / "tiny.zarr")
