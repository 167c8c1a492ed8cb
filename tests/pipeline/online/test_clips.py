"""Clips that are encoded on the fly, asked for as training, validation and a user who stops do."""

import threading

import numpy as np
import psutil
import pytest
import torch

from store_schema.store import Store

from .conftest import CPU


@pytest.fixture(scope="module")
def view(store_states, online_source):
    store = store_states["planned"]
    return online_source(store).view(Store.open(store), CPU)


def addresses_of(view, num_batches, num_clips):
    """Clips of 4 frames, all different."""
    longest = max(view.trajectories, key=lambda t: t.num_frames)
    return longest.first_frame + np.arange(num_batches * num_clips).reshape(num_batches, num_clips)


def latents_of(view, addresses):
    with view.clips.stream(iter(addresses), clip_frames=4, max_clips=addresses.shape[1]) as stream:
        return [clips.latents_BTND for clips in stream]


def decoder_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("clip-decoder")]


def test_batches_come_in_the_order_of_their_addresses_and_end_with_them(view):
    addresses = addresses_of(view, 5, 3)
    together = latents_of(view, addresses.reshape(1, -1))[0]
    batches = latents_of(view, addresses)
    assert [len(batch) for batch in batches] == [3] * 5
    assert torch.allclose(torch.cat(batches), together, atol=1e-5)


def test_a_last_batch_may_be_smaller(view):
    addresses = [np.array([0, 1, 2]), np.array([3])]
    with view.clips.stream(iter(addresses), clip_frames=4, max_clips=3) as stream:
        assert [clips.latents_BTND.shape[:2] for clips in stream] == [(3, 4), (1, 4)]


def test_latents_are_the_same_under_autocast_and_may_be_part_of_a_graph(view):
    addresses = addresses_of(view, 1, 2)
    (plain,) = latents_of(view, addresses)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        (cast,) = latents_of(view, addresses)
    assert torch.equal(plain, cast)
    assert not plain.is_inference()


def test_only_so_many_clips_are_loaded_ahead(view):
    """Clips in work are never more than those of a batch and of two more."""
    drawn = []

    def endless():
        for first in range(100):
            drawn.append(first)
            yield np.array([first, first + 1])

    with view.clips.stream(endless(), clip_frames=4, max_clips=2) as stream:
        assert len(drawn) == 2
        next(stream)
        next(stream)
        assert len(drawn) == 4


def test_a_stream_inside_another_one_shares_its_processes_and_all_are_gone_in_the_end(view):
    addresses = addresses_of(view, 4, 2)
    with view.clips.stream(iter(addresses), clip_frames=4, max_clips=2) as outer:
        first = next(outer).latents_BTND
        children = {child.pid for child in psutil.Process().children(recursive=True)}
        with view.clips.stream(iter(addresses), clip_frames=4, max_clips=2) as inner:
            assert torch.equal(next(inner).latents_BTND, first)
            assert {child.pid for child in psutil.Process().children(recursive=True)} == children
        assert decoder_threads()
        assert len(list(outer)) == 3
    assert not decoder_threads()
    gone = [pid for pid in children if not psutil.pid_exists(pid)]
    assert gone


def test_decoding_leaves_the_threads_of_the_update_alone(view):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        latents_of(view, addresses_of(view, 1, 2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
