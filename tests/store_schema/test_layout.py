"""One test per sentence of the specification about arrays: what departs from it is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from store_schema.errors import SchemaError, StoreNotFoundError
from store_schema.format import ArraySpec, LatentShape, Quantisation, array_specs
from store_schema.layout import create_group, encode_whole, open_array, open_group, read_attributes
from store_schema.store import Store

ZSTD = {"level": 1, "checksum": False}
VIT_G = LatentShape(num_tokens=256, width=1408)


def change_metadata(store: Path, array: str, change: Callable[[dict[str, Any]], Any]) -> None:
    path = store / array / "zarr.json"
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("array", "change", "message"),
    [
        ("latents", lambda m: m.update(dimension_names=["frame", "channel", "token"]),
         r"Array 'latents' has dimension names \('frame', 'channel', 'token'\); "
         r"format 1 requires \('frame', 'token', 'channel'\)\."),
        ("states", lambda m: m.pop("dimension_names"),
         r"Array 'states' has dimension names None; format 1 requires \('frame', 'state'\)\."),
        ("states", lambda m: m.update(data_type="float64", fill_value="NaN"),
         r"Array 'states' has dtype float64; format 1 requires float32\."),
        ("actions", lambda m: m.update(shape=[1024, 8]),
         r"Array 'actions' has shape \(1024, 8\); format 1 requires \(1024, 7\)\."),
        ("source_index", lambda m: m.update(shape=[1025]),
         r"Array 'source_index' has shape \(1025,\); format 1 requires \(1024,\)\."),
        ("actions", lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[64, 7]),
         r"Array 'actions' has chunks \(64, 7\); format 1 requires \(128, 7\)\."),
        ("latents", lambda m: m["codecs"][0]["configuration"].update(chunk_shape=[2, 4, 8]),
         r"Array 'latents' has chunks \(2, 4, 8\); format 1 requires \(1, 4, 8\)\."),
        ("latents", lambda m: m["chunk_grid"]["configuration"].update(chunk_shape=[256, 4, 8]),
         r"Array 'latents' has shards \(256, 4, 8\); format 1 requires \(128, 4, 8\)\."),
        ("latents", lambda m: m.update(fill_value=0),
         r"Array 'latents' has fill value 0; format 1 requires -128\."),
        ("token_scale", lambda m: m.update(fill_value=0.0),
         r"Array 'token_scale' has fill value 0.0; format 1 requires nan\."),
        ("latents", lambda m: m["codecs"][0]["configuration"]["codecs"].append({"name": "crc32c"}),
         r"Array 'latents' has codecs .*'crc32c'.*; format 1 requires "),
        ("latents", lambda m: m["codecs"][0]["configuration"].update(index_location="start"),
         r"Array 'latents' has codecs .*'start'.*; format 1 requires .*'end'"),
        ("states", lambda m: m["codecs"].append({"name": "zstd", "configuration": ZSTD}),
         r"Array 'states' has codecs .*'zstd'.*; format 1 requires "),
        ("thumbnails", lambda m: m["codecs"][0]["configuration"]["codecs"].pop(),
         r"Array 'thumbnails' has codecs .*; format 1 requires .*'zstd'"),
        ("states", lambda m: m["chunk_key_encoding"]["configuration"].update(separator="."),
         r"Array 'states' has chunk key encoding .*'\.'.*; format 1 requires .*'/'"),
        ("states", lambda m: m.pop("data_type"),
         "Array 'states' is missing, or a field of its zarr.json; format 1 requires it"),
        ("states", lambda m: m.update(codecs="all of them"),
         "states/zarr.json is not the metadata of a Zarr array: "),
        ("states", lambda m: (m.clear(), m.update(zarr_format=3, node_type="group", attributes={})),
         "'states' is a Zarr group; format 1 requires an array"),
    ],
)  # fmt: skip
def test_refuses_an_array_that_departs_from_format_1(
    int8_store: Path, array: str, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    change_metadata(int8_store, array, change)
    with pytest.raises(SchemaError, match=message):
        Store.open(int8_store)


@pytest.mark.parametrize("name", list(array_specs(VIT_G, Quantisation.INT8)))
def test_refuses_a_store_without_one_of_its_arrays(int8_store: Path, name: str) -> None:
    (int8_store / name / "zarr.json").unlink()
    with pytest.raises(SchemaError, match=f"Array '{name}' is missing, or a field of"):
        Store.open(int8_store)


def test_lets_arrays_of_others_be(int8_store: Path) -> None:
    zarr.open_group(int8_store, mode="r+").create_array("language", shape=(3,), dtype="float32")
    assert len(Store.open(int8_store).trajectories) == 7


def test_there_is_no_store_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"no feature store at .*; `permafrost featurize` makes one"):
        Store.open(tmp_path)


def test_a_zarr_group_of_another_kind_is_not_a_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr", zarr_format=3, attributes={"multiscales": []})
    with pytest.raises(SchemaError, match="without the attribute 'permafrost': not a feature store"):
        read_attributes(tmp_path / "other.zarr")


def test_damaged_root_metadata_is_refused(int8_store: Path) -> None:
    root = int8_store / "zarr.json"
    root.write_bytes(root.read_bytes()[:100])
    with pytest.raises(SchemaError, match=r"zarr.json is not the metadata of a Zarr group"):
        Store.open(int8_store)


def test_listing_the_arrays_does_not_trip_over_tables_and_ledger(unsealed_store: Path) -> None:
    """Warnings are errors here, and zarr-python warns about all that is not Zarr in a group."""
    (unsealed_store / "build").mkdir()
    specs = array_specs(LatentShape(num_tokens=4, width=8), Quantisation.INT8)
    assert sorted(name for name, _ in open_group(unsealed_store).members()) == sorted(specs)


def test_a_killed_creation_leaves_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root file comes last."""
    written: list[str] = []
    monkeypatch.setattr(
        "store_schema.layout.write_atomically",
        lambda path, data: written.append(path.relative_to(tmp_path).as_posix()),
    )
    create_group(tmp_path, array_specs(VIT_G, Quantisation.INT8), 2, {})
    assert written[-1] == "zarr.json"
    assert written.count("zarr.json") == 1


def spec(name: str, quantisation: Quantisation = Quantisation.INT8) -> ArraySpec:
    return array_specs(VIT_G, quantisation)[name]


def test_a_vit_g_frame_is_a_whole_number_of_pages() -> None:
    assert spec("latents").item_bytes == 88 * 4096 == 360_448
    assert spec("token_scale").item_bytes == 512
    assert spec("latents", Quantisation.FLOAT16).item_bytes == 720_896


def test_float16_stores_have_no_scales_and_no_channel_statistics() -> None:
    extra = set(array_specs(VIT_G, Quantisation.INT8)) - set(array_specs(VIT_G, Quantisation.FLOAT16))
    assert extra == {"token_scale", "channel_mean", "channel_std"}


def test_fill_values_are_those_that_no_stored_value_takes() -> None:
    assert spec("latents").fill_value == -128
    for name in (
        "token_scale",
        "channel_mean",
        "channel_std",
        "states",
        "actions",
        "timestamps_seconds",
        "extrinsics",
    ):
        assert np.isnan(spec(name).fill_value), name
    assert np.isnan(spec("latents", Quantisation.FLOAT16).fill_value)
    assert spec("source_index").fill_value == -1


def test_channel_statistics_of_another_shape_are_refused() -> None:
    with pytest.raises(
        SchemaError, match=r"Array 'channel_std' is float32 \(3,\); expected float32 \(1408,\)"
    ):
        encode_whole(spec("channel_std"), np.ones(3, dtype=np.float32))


def test_one_array_can_be_opened_read_only(tiny_store: Path) -> None:
    array = open_array(tiny_store, "states")
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0.0
