"""Channel statistics: of training frames only, enough of them, and fixed before anything is encoded."""

import numpy as np
import pytest
import torch

from featurize.calibrate import calibrate
from featurize.frames import TrajectoryLoader
from store_schema.errors import FingerprintMismatchError
from store_schema.quantisation import STD_FLOOR, ChannelStatistics
from store_schema.store import Store
from store_schema.tables import Trajectory

from .builds import build_at, planned


@pytest.fixture
def own(source, tmp_path, encoder):
    return planned(build_at(tmp_path / "store.zarr", source), encoder)


def latents_of(build, encoder, trajectories):
    with TrajectoryLoader(build, trajectories) as loader:
        return torch.cat(
            [encoder.encode(loader.load(t, np.arange(t.num_frames)).pixels_FCHW) for t in trajectories]
        )


def test_statistics_are_mean_and_deviation_over_all_training_frames(own, encoder):
    """The source has fewer frames than are asked for, so all of the training split enter."""
    training = [t for t in Store.open(own.store).planned_trajectories if t.split == "train"]
    assert 0 < sum(t.num_frames for t in training) < 1024
    statistics = calibrate(own, encoder)
    flat_XD = latents_of(own, encoder, training).numpy().reshape(-1, encoder.spec.width).astype(np.float64)
    np.testing.assert_allclose(statistics.mean_D, flat_XD.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(statistics.std_D, np.maximum(flat_XD.std(axis=0), STD_FLOOR), rtol=1e-4)
    stored = Store.open(own.store).channel_statistics
    assert torch.equal(stored.mean_D, statistics.mean_D)
    assert torch.equal(stored.std_D, statistics.std_D)


def test_measuring_again_changes_nothing(own, encoder):
    first = calibrate(own, encoder)
    times = {path: path.stat().st_mtime_ns for path in own.store.rglob("*") if path.is_file()}
    assert calibrate(own, encoder).sha256() == first.sha256()
    assert times == {path: path.stat().st_mtime_ns for path in own.store.rglob("*") if path.is_file()}


def test_a_float16_store_needs_none(source, tmp_path, encoder):
    build = planned(build_at(tmp_path / "float16.zarr", source, quantisation="float16"), encoder)
    assert calibrate(build, encoder) is None
    assert Store.open(build.store).attributes.fingerprint.channel_statistics_sha256 is None


def test_refuses_an_encoder_that_the_store_was_not_planned_for(own, encoder, monkeypatch):
    monkeypatch.setattr(encoder, "weights_sha256", "0" * 64)
    with pytest.raises(
        FingerprintMismatchError, match=r"encoder.weights_sha256: store has \w+, asked for 0000"
    ):
        calibrate(own, encoder)


class CountedFrames:
    """In the loader's place: a frame's pixels say of which trajectory it is, and nothing is decoded."""

    def __init__(self, build, trajectories):
        self.trajectories = trajectories

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def load(self, trajectory, steps):
        assert len(set(steps.tolist())) == len(steps)
        assert steps.max() < trajectory.num_frames
        self.pixels_FCHW = torch.full((len(steps), 1), float(trajectory.index))
        return self


class CountingEncoder:
    device = torch.device("cpu")

    def __init__(self):
        self.seen = []
        self.largest_batch = 0

    def encode(self, pixels):
        self.seen += pixels.flatten().int().tolist()
        self.largest_batch = max(self.largest_batch, len(pixels))
        return torch.zeros(len(pixels), 1, 4)


def sampled(monkeypatch, lengths, split="train"):
    """How many frames of each trajectory enter."""
    from featurize import calibrate as module

    trajectories = [fake_trajectory(index, length, split) for index, length in enumerate(lengths)]
    monkeypatch.setattr(module, "TrajectoryLoader", CountedFrames)
    encoder = CountingEncoder()
    list(module._sample_latents(build_at("store", "source"), encoder, trajectories))
    assert encoder.largest_batch <= 32
    return [encoder.seen.count(index) for index in range(len(lengths))]


def fake_trajectory(index, num_frames, split):
    crop = {"crop_top_px": 0, "crop_left_px": 0, "crop_height_px": 1, "crop_width_px": 1}
    return Trajectory(index=index, episode_id=str(index), lab="", success=True, task="", camera="left",
                      decoder="pyav", view=0, phase=0.0, first_slot=index, num_frames=num_frames, split=split,
                      **crop)  # fmt: skip


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5000], [1024]),
        ([400, 400, 400, 400], [256, 256, 256, 256]),
        # Short ones give all they have, and the long ones make up for it.
        ([16] * 10 + [200] * 10, [16] * 10 + [86, 86, 86, 86, 86, 86, 87, 87, 87, 87]),
        ([20, 30], [20, 30]),
    ],
)
def test_a_thousand_frames_are_spread_over_the_trajectories(monkeypatch, lengths, expected):
    assert sorted(sampled(monkeypatch, lengths)) == sorted(expected)


def test_of_very_many_trajectories_128_are_drawn(monkeypatch):
    counts = sampled(monkeypatch, [30] * 500)
    assert sorted(set(counts)) == [0, 8]
    assert counts.count(8) == 128


def test_the_held_out_episode_does_not_enter(own, encoder, monkeypatch):
    """Its every frame may change, and the statistics stay."""
    seen = []
    load = TrajectoryLoader.load
    monkeypatch.setattr(
        TrajectoryLoader, "load", lambda self, t, steps: (seen.append(t.split), load(self, t, steps))[1]
    )
    calibrate(own, encoder)
    assert seen == ["train"] * 5


def test_a_channel_that_never_changes_keeps_a_deviation_to_divide_by():
    assert ChannelStatistics.of(torch.zeros(3, 2, 4)).std_D.min() == pytest.approx(STD_FLOOR)
