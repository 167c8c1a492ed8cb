"""What a loop sees of a picture is what a store holds of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from featurize.index_table import read_index
from featurize.video.decode import decode_frames
from pipeline.closed_loop.seeing import Sight
from store_schema.errors import FingerprintMismatchError
from store_schema.store import Store
from train.view import View

CPU = torch.device("cpu")


def left_video(episode: Path) -> Path:
    (metadata,) = episode.glob("metadata_*.json")
    name = Path(json.loads(metadata.read_text())["left_mp4_path"]).name
    return episode / "recordings" / "MP4" / name


def test_a_picture_has_the_latent_that_the_store_has_of_its_frame(world_build):
    store = Store.open(world_build.store)
    trajectory = store.trajectories[0]
    (stream,) = read_index(world_build, {trajectory.episode_id})
    rows = stream.rows_at(world_build.recipe.clock, trajectory.phase)[:3]
    pictures = decode_frames(left_video(world_build.source_root / stream.location), rows, stream.decoder)

    seen_FND = Sight.of(store.attributes.fingerprint, device=CPU).latents(list(pictures))

    addresses = iter([np.array([trajectory.first_frame])])
    with View.of_store(store, CPU).clips.stream(addresses, clip_frames=3, max_clips=1) as stream:
        stored_FND = next(stream).latents_BTND[0]
    assert torch.allclose(seen_FND, stored_FND, atol=2e-3)  # float16


def test_another_network_is_refused(world_build):
    fingerprint = Store.open(world_build.store).attributes.fingerprint
    other = fingerprint.encoder.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(FingerprintMismatchError, match=r"encoded by vit-tiny-random with weights 0{64}"):
        Sight.of(fingerprint.model_copy(update={"encoder": other}), device=CPU)
