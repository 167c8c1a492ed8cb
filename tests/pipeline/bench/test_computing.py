"""Decoding, encoding and the predictor: what is measured, and what it is held to."""

import pytest
import torch

from featurize.encoder.registry import describe
from pipeline.bench import matrix_products, predictor_step
from pipeline.bench.encoding import decode_row, encode_rows
from pipeline.bench.matrix_products import MatrixProducts
from pipeline.bench.predictor_step import measure_predictor
from pipeline.bench.rows import Row
from store_schema.store import Store
from train.assembly import predictor_config
from train.memory_estimate import UpdateMemory
from train.recipe_defaults import recipe_for
from train.step_rate import StepRate
from train.view import View

from ...featurize.build.builds import build_at, build_store

CPU = torch.device("cpu")
RECIPE = recipe_for("demo", clip_frames=4)


@pytest.fixture(scope="module")
def encoded(source, tmp_path_factory):
    """A store whose encoder is known by name; not to be changed."""
    build = build_at(tmp_path_factory.mktemp("encoded") / "store.zarr", source)
    build_store(build)
    return Store.open(build.store)


@pytest.fixture
def products(monkeypatch):
    """Products at 10 FLOP/s, without multiplying."""
    monkeypatch.setattr(matrix_products, "matmul_rate", lambda _device, _dtype: 10.0)
    return MatrixProducts(CPU)


def test_products_are_measured_once_for_each_number_of_threads(monkeypatch):
    calls = []
    monkeypatch.setattr(matrix_products, "matmul_rate", lambda *asked: calls.append(asked) or 10.0)
    products = MatrixProducts(CPU)
    before = torch.get_num_threads()
    for num_threads in (1, 2, 1):
        torch.set_num_threads(num_threads)
        products.row(torch.float32)
    torch.set_num_threads(before)
    assert [row.what for row in products.rows] == [
        "products, float32, 1 thread",
        "products, float32, 2 threads",
    ]
    assert len(calls) == 2


def test_the_encoder_is_the_stores_own_and_its_flops_are_held_to_products(encoded, products):
    said = []
    frames, computed = encode_rows(encoded, products, 0.001, said.append)
    per_frame = describe("vit-tiny-random")["flops_per_frame"]
    assert computed.value == pytest.approx(frames.value * per_frame)
    assert (computed.limit, computed.ratio) == ("products, float32, 1 thread", computed.value / 10.0)
    assert "Drawing weights for vit-tiny-random" in said[0]
    assert "vit-tiny-random, drawn weights" in frames.note


def test_an_encoder_that_is_not_known_is_left_out_and_named(tiny_store, products):
    rows = encode_rows(Store.open(tiny_store), products, 0.001, lambda _: None)
    assert [(row.value, row.ratio) for row in rows] == [(None, None)] * 2
    assert "There is no encoder 'drawn'" in rows[0].note


def test_decoding_is_held_to_what_the_encoder_takes(encoded, source):
    row = decode_row(encoded, source, 0.001, Row.measured("encode", 2.0, "frames/s"))
    assert (row.limit, row.ratio) == ("encode", row.value / 2.0)


def test_without_episodes_decoding_says_what_it_needs(encoded):
    row = decode_row(encoded, None, 0.001, Row.measured("encode", 2.0, "frames/s"))
    assert (row.value, row.note) == (None, "needs --source, the episodes to decode")


def rated(pass_seconds):
    """Passes that take as long for each clip, steps of 1 s, and 6 FLOP a clip."""

    def rate(_config, *, num_clips, **_):
        return StepRate(
            num_clips=num_clips,
            pass_seconds=pass_seconds * num_clips,
            optimiser_seconds=1.0,
            flops_per_pass=6 * num_clips,
        )

    return rate


@pytest.mark.parametrize(("pass_seconds", "num_clips"), [(0.1, 16), (0.5, 8), (1.0, 4), (50.0, 1)])
def test_an_update_is_put_together_from_passes_that_there_is_time_for(
    tiny_store, products, monkeypatch, pass_seconds, num_clips
):
    """16 clips in passes of 0.1 s a clip and one step of 1 s are an update of 2.6 s."""
    monkeypatch.setattr(predictor_step, "predictor_step_rate", rated(pass_seconds))
    view = View.of_store(Store.open(tiny_store), CPU)
    step = measure_predictor(RECIPE, view, products, seconds=20.0)
    update_seconds = 16 * pass_seconds + 1.0
    assert step.num_clips == num_clips
    assert step.update_seconds == pytest.approx(update_seconds)
    assert step.rows[1].value == pytest.approx(6 * 16 / update_seconds)
    assert step.rows[1].ratio == pytest.approx(6 * 16 / update_seconds / 10.0)


@pytest.mark.parametrize(("clips_in_memory", "num_clips"), [(16, 16), (9, 8), (1, 1)])
def test_on_a_gpu_a_pass_has_the_clips_that_its_memory_holds(
    tiny_store, products, monkeypatch, clips_in_memory, num_clips
):
    view = View.of_store(Store.open(tiny_store), CPU)
    memory = UpdateMemory(
        config=predictor_config(RECIPE, view), clip_frames=4, rollout_steps=2, compute_dtype=torch.float32
    )
    # A tenth is kept free.
    budget_bytes = round(memory.peak_bytes(clips_in_memory, 0) / 0.9) + 1
    monkeypatch.setattr(predictor_step, "free_bytes", lambda _device: budget_bytes)
    monkeypatch.setattr(predictor_step, "predictor_step_rate", rated(50.0))
    assert measure_predictor(RECIPE, view, products, seconds=1.0).num_clips == num_clips


def test_where_no_clip_fits_whole_blocks_are_computed_again(tiny_store, products, monkeypatch):
    view = View.of_store(Store.open(tiny_store), CPU)
    memory = UpdateMemory(
        config=predictor_config(RECIPE, view), clip_frames=4, rollout_steps=2, compute_dtype=torch.float32
    )
    budget_bytes = round(memory.peak_bytes(1, 2) / 0.9) + 1
    monkeypatch.setattr(predictor_step, "free_bytes", lambda _device: budget_bytes)
    step = measure_predictor(RECIPE, view, products, seconds=1.0)
    assert (step.num_clips, step.checkpointed_blocks) == (1, 2)


def test_the_predictor_is_really_timed(tiny_store, products):
    view = View.of_store(Store.open(tiny_store), CPU)
    step = measure_predictor(RECIPE, view, products, seconds=0.0)
    assert step.num_clips == 1
    assert step.rows[0].value == step.update_seconds > 0
