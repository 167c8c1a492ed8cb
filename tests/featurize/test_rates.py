"""What is measured, not how fast it is: that depends on the machine and the hour."""

import pytest
import torch

from featurize.disk_rates import measure_disk
from featurize.encoder.registry import encoder_spec, load_encoder
from featurize.errors import NotEnoughEpisodesError
from featurize.rates import encode_rate_of, measure_rates, random_encoder
from featurize.sources.droid_raw import DroidRaw
from featurize.survey import survey
from store_schema.format import LatentShape, Quantisation, array_specs

from .build.builds import build_at, write_source
from .droid_files import DroidFolder

TINY = "vit-tiny-random"
A_MOMENT_SECONDS = 0.01


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source", (80, 80))


def test_every_stage_is_measured_at_least_once(source, tmp_path):
    build = build_at(tmp_path / "store", source)
    stages = []
    rates = measure_rates(
        build,
        survey(DroidRaw(source), build.recipe),
        random_encoder(TINY, "cpu"),
        A_MOMENT_SECONDS,
        stages.append,
    )
    assert stages == ["Measuring index.", "Measuring decode.", "Measuring encode.", "Measuring disk."]
    numbers = (rates.index_frames_per_second, rates.decode_frames_per_second, rates.encode_frames_per_second)
    assert min(*numbers, rates.disk.write_bytes_per_second, rates.disk.read_bytes_per_second) > 0
    assert rates.device == "cpu"


def test_a_video_that_breaks_after_the_survey_is_left_out_and_named(source, tmp_path, caplog):
    build = build_at(tmp_path / "store", source)
    looked_at = survey(DroidRaw(source), build.recipe)
    DroidFolder(source / "episode-0").video.write_bytes(b"")
    measure_rates(build, looked_at, random_encoder(TINY, "cpu"), A_MOMENT_SECONDS, lambda _: None)
    assert "Left out of the measurement: Episode LAB+0+2023-07-07" in caplog.text


def test_nothing_can_be_measured_where_all_videos_broke(source, tmp_path):
    build = build_at(tmp_path / "store", source)
    looked_at = survey(DroidRaw(source), build.recipe)
    for number in range(2):
        DroidFolder(source / f"episode-{number}").video.write_bytes(b"")
    with pytest.raises(NotEnoughEpisodesError, match="No sampled episode could be decoded"):
        measure_rates(build, looked_at, random_encoder(TINY, "cpu"), A_MOMENT_SECONDS, lambda _: None)


@pytest.mark.parametrize("name", [TINY, "timm:test_vit"])
def test_drawn_weights_make_an_encoder_of_the_true_shape(name):
    spec = encoder_spec(name)
    latents = random_encoder(name, "cpu").encode(torch.zeros(2, 3, spec.image_size_px, spec.image_size_px))
    assert latents.shape == (2, spec.num_tokens, spec.width)
    assert latents.isfinite().all()


def test_an_encoder_with_drawn_weights_has_the_parameters_of_the_real_one():
    drawn, real = (
        encoder._network.state_dict() for encoder in (random_encoder(TINY, "cpu"), load_encoder(TINY))
    )
    assert {name: tensor.shape for name, tensor in drawn.items()} == {n: t.shape for n, t in real.items()}


def test_a_slow_encoder_is_measured_on_single_frames():
    rate, batch_frames = encode_rate_of(random_encoder(TINY, "cpu"), 32, seconds=0)
    assert rate > 0
    assert batch_frames == 1


def test_a_fast_encoder_is_measured_on_whole_batches():
    _, batch_frames = encode_rate_of(random_encoder(TINY, "cpu"), 6, seconds=2)
    assert batch_frames == 6


@pytest.mark.parametrize("quantisation", list(Quantisation))
def test_slots_of_any_length_are_written_and_read_back(tmp_path, quantisation):
    specs = array_specs(LatentShape(num_tokens=4, width=8), quantisation)
    rates = measure_disk(tmp_path, specs, 5, A_MOMENT_SECONDS)
    assert rates.write_bytes_per_second > 0
    assert rates.read_bytes_per_second > 0
    assert (tmp_path / "latents/c/0/0/0").stat().st_size == 5 * specs["latents"].item_bytes + 2052
