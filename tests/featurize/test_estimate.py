"""The figures of `permafrost estimate` that need no measuring, against what was worked out by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurize.break_even import TrainingPlan, training_figures
from featurize.encoder.describe import describe
from featurize.estimate import (
    Compute,
    Workload,
    encoder_figures,
    store_bytes,
    store_figures,
    workload_of_hours,
)
from featurize.gpus import Gpu, UnknownGpuError, find_gpu
from featurize.sources.droid_raw import DroidRaw
from featurize.survey import survey
from store_schema.format import LatentShape, Quantisation
from store_schema.store import Store

from .build.builds import build_at, build_store, write_source

VITG = LatentShape(num_tokens=256, width=1408)
H200 = Compute(gpu=find_gpu("h200"), num_gpus=1, utilisation=0.6)
PUBLISHED = TrainingPlan(
    preset="vjepa2-ac",
    flops_per_step=2.7e15,
    batch_clips=256,
    clip_frames=16,
    num_steps=94_500,
    num_runs=1,
    compute=replace(H200, utilisation=0.5),
)


def mission(num_views: int = 1) -> Workload:
    return workload_of_hours(62, num_views=num_views, num_cameras=1)


def by_name(figures) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures}


def training_of(workload: Workload, **changes) -> dict[str, float]:
    plan = replace(PUBLISHED, **changes)
    return by_name(training_figures(workload, VITG, Quantisation.INT8, 1.0, plan))


def test_sixty_two_hours_are_892_800_frames_a_view():
    assert mission().frames.value == 892_800
    assert mission(4).frames.value == 4 * 892_800


def test_a_view_of_the_mission_takes_a_third_of_a_terabyte_in_int8_and_twice_that_in_float16():
    in_int8 = by_name(store_figures(mission(), VITG, Quantisation.INT8))
    in_float16 = by_name(store_figures(mission(), VITG, Quantisation.FLOAT16))
    assert in_int8["latents_bytes"] == pytest.approx(0.32e12, rel=0.01)
    assert in_float16["latents_bytes"] == pytest.approx(0.64e12, rel=0.01)
    assert "token_scale_bytes" not in in_float16


def test_the_parts_of_a_store_add_up_to_the_whole():
    figures = by_name(store_figures(mission(), VITG, Quantisation.INT8))
    parts = ("latents_bytes", "token_scale_bytes", "thumbnails_bytes", "rows_bytes")
    assert sum(figures[part] for part in parts) == figures["store_int8_bytes"]


def test_a_frame_through_vit_giant_costs_half_a_teraflop():
    flops_per_frame = describe("vjepa2-vitg")["flops_per_frame"]
    figures = by_name(encoder_figures(mission(), "vjepa2-vitg", flops_per_frame, H200))
    assert figures["flops_per_frame"] == pytest.approx(0.53e12, rel=0.01)
    assert figures["encoder_flops"] == 892_800 * flops_per_frame
    assert figures["encode_once_hours"] == figures["encoder_flops"] / (989e12 * 0.6) / 3600


def test_more_gpus_encode_in_less_time():
    of_one, of_eight = (
        by_name(encoder_figures(mission(), "any", 1e12, replace(H200, num_gpus=number))) for number in (1, 8)
    )
    assert of_one["encode_once_hours"] == pytest.approx(8 * of_eight["encode_once_hours"])


def test_a_published_schedule_encodes_387_million_frames_online():
    assert training_of(mission())["online_encodings"] == 94_500 * 256 * 16 == 387_072_000


@pytest.mark.parametrize(("num_views", "ratio"), [(1, 434), (2, 217)])
def test_encoding_once_is_217_to_434_times_less_work(num_views, ratio):
    assert training_of(mission(num_views))["encodings_ratio"] == pytest.approx(ratio, abs=0.5)


def test_every_further_run_reads_the_same_store():
    once, thrice = training_of(mission()), training_of(mission(), num_runs=3)
    assert thrice["encodings_ratio"] == 3 * once["encodings_ratio"]
    assert thrice["break_even_steps"] == once["break_even_steps"] == 892_800 / 4096


def test_training_reads_a_batch_a_step():
    """2.7 PFLOP at half of 989 TFLOP/s; a frame is 360,448 + 512 bytes and twice 7 float32."""
    figures = training_of(mission())
    assert figures["step_seconds"] == pytest.approx(2.7e15 / (0.5 * 989e12))
    assert figures["training_read_bytes_per_second"] * figures["step_seconds"] == pytest.approx(
        4096 * 361_016
    )


@given(hours=st.integers(1, 10_000), num_views=st.integers(1, 50), num_cameras=st.integers(1, 3))
def test_frames_are_linear_in_hours_views_and_cameras(hours, num_views, num_cameras):
    workload = workload_of_hours(hours, num_views=num_views, num_cameras=num_cameras)
    assert workload.frames.value == hours * num_views * num_cameras * 14_400


@given(hours=st.floats(0.1, 1e5), num_views=st.integers(1, 50), quantisation=st.sampled_from(Quantisation))
def test_bytes_are_linear_in_views_but_for_the_channel_statistics(hours, num_views, quantisation):
    one, many = (
        store_bytes(workload_of_hours(hours, num_views=views, num_cameras=1), VITG, quantisation)
        for views in (1, num_views)
    )
    shared = 2 * 4 * VITG.width if quantisation is Quantisation.INT8 else 0
    assert math.isclose(many - shared, num_views * (one - shared))


@given(episode_seconds=st.floats(4, 600))
def test_slots_hold_all_frames_of_an_episode(episode_seconds):
    workload = workload_of_hours(100, num_views=1, num_cameras=1, episode_seconds=episode_seconds)
    assert workload.slots.value * 128 >= workload.frames.value
    assert workload.slots.value >= workload.trajectories.value


def test_a_gpu_may_be_named_in_any_case():
    assert find_gpu("H200") == Gpu(name="h200", peak_flops_per_second=989e12)


def test_an_unknown_gpu_is_answered_with_those_there_are():
    with pytest.raises(UnknownGpuError, match=r"no GPU 'v100' in the table; choose one of a100, h100, h200"):
        find_gpu("v100")


@pytest.mark.parametrize("quantisation", ["int8", "float16"])
def test_the_estimate_of_a_source_is_the_size_of_the_store_that_is_built_from_it(tmp_path, quantisation):
    """To the byte in every array, but for the thumbnails, which zstd makes smaller."""
    source = write_source(tmp_path / "source", (80, 520, 96))
    build = build_at(tmp_path / "store.zarr", source, num_views=2, quantisation=quantisation)
    workload = survey(DroidRaw(source), build.recipe).workload
    estimated = by_name(
        store_figures(workload, LatentShape(num_tokens=16, width=96), build.recipe.quantisation)
    )
    build_store(build)
    store = Store.open(build.store)
    on_disk = {name: bytes_of(build.store / name) for name in store.specs}
    thumbnails = on_disk.pop("thumbnails")
    assert workload.frames.value == store.stored_frames
    assert workload.slots.value == store.attributes.num_slots == 8
    assert estimated["latents_bytes"] == on_disk.pop("latents")
    assert estimated.get("token_scale_bytes", 0) == on_disk.pop("token_scale", 0)
    assert estimated["rows_bytes"] == sum(on_disk.values())
    assert 0.05 * estimated["thumbnails_bytes"] < thumbnails < estimated["thumbnails_bytes"]


def bytes_of(array) -> int:
    return sum(file.stat().st_size for file in (array / "c").rglob("*") if file.is_file())
