import os
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import islice

import numpy as np
import psutil
import pytest
import torch

from store_schema import direct_io
from store_schema.array_readers import ByteRangeReader
from store_schema.errors import DamagedStoreError
from store_schema.format import Quantisation
from store_schema.layout import open_group, slot_path
from store_schema.quantisation import dequantise
from store_schema.reader import ClipReader
from store_schema.store import Store
from train.drawn_clips import DrawnClips
from train.reader_processes import reading_processes
from train.readers import (
    CACHED_READERS,
    RING_SIZE,
    WAITING_READERS,
    StoreReadError,
    enough_for,
    reading_threads,
)
from train.stream import StoreClips
from train.subset import long_enough
from train.windows import SampleBy, WindowSampler

CLIP_FRAMES = 16
CPU = torch.device("cpu")


def source_of(
    store: Store, *, batch_clips=4, micro_batch_clips=2, device: torch.device = CPU, open_ring=None
) -> DrawnClips:
    sampler = WindowSampler.over(
        long_enough(store.split("train"), CLIP_FRAMES),
        clip_frames=CLIP_FRAMES,
        batch_clips=batch_clips,
        sample_by=SampleBy.WINDOW,
        seed=0,
    )
    return DrawnClips(
        supply=StoreClips(store=store, device=device, open_ring=open_ring),
        sampler=sampler,
        clip_frames=CLIP_FRAMES,
        micro_batch_clips=micro_batch_clips,
    )


def read_by_zarr(store: Store, first_frame: int) -> dict[str, torch.Tensor]:
    group = open_group(store.path)
    names = [name for name in ("latents", "token_scale", "states", "actions") if name in group]
    frames = slice(first_frame, first_frame + CLIP_FRAMES)
    return {name: torch.from_numpy(np.asarray(group[name][frames])) for name in names}


READERS = pytest.mark.parametrize("open_ring", [reading_threads, reading_processes])


@READERS
def test_clips_come_in_order_of_the_draws_and_as_zarr_reads_them(tiny_store, open_ring):
    store = Store.open(tiny_store)
    source = source_of(store, open_ring=open_ring)
    with source.stream(first_step=5) as stream:
        # Held all along, so that a buffer filled again behind them would show.
        micro_batches = list(islice(stream, 4 * RING_SIZE))
    drawn = np.concatenate([source.sampler.draw(step) for step in range(5, 5 + 2 * RING_SIZE)])
    for i, first_frame in enumerate(drawn.tolist()):
        clips, row = micro_batches[i // 2], i % 2
        stored = read_by_zarr(store, first_frame)
        latents = dequantise(stored["latents"], stored["token_scale"], store.channel_statistics)
        assert torch.equal(clips.latents_BTND[row], latents)
        assert torch.equal(clips.states_BTA[row], stored["states"])
        assert torch.equal(clips.actions_BTA[row], stored["actions"][:-1])
        assert clips.latents_BTND.dtype is torch.float32


@READERS
def test_a_float16_store_needs_no_statistics(make_store, tmp_path, open_ring):
    path = make_store(tmp_path / "half.zarr", trajectories=[(20, "train")], quantisation=Quantisation.FLOAT16)
    store = Store.open(path)
    source = source_of(store, open_ring=open_ring)
    with source.stream(0) as stream:
        clips = next(stream)
    stored = read_by_zarr(store, int(source.sampler.draw(0)[0]))
    assert torch.equal(clips.latents_BTND[0], stored["latents"].float())


@READERS
def test_damaged_latents_stop_the_stream_with_the_slot_named(make_store, tmp_path, open_ring):
    path = make_store(tmp_path / "damaged.zarr", trajectories=[(16, "train")])
    store = Store.open(path)
    shard = path / slot_path(store.specs["latents"], 0)
    damaged = bytearray(shard.read_bytes())
    damaged[100] ^= 1
    shard.write_bytes(damaged)
    with (
        source_of(store, open_ring=open_ring).stream(0) as stream,
        pytest.raises(DamagedStoreError, match="of slot 0"),
    ):
        next(stream)


def test_a_failing_disk_stops_the_stream_with_the_slot_named(tiny_store, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(ByteRangeReader, "read_into", fail)
    with (
        source_of(Store.open(tiny_store)).stream(0) as stream,
        pytest.raises(StoreReadError, match=r"of slot \d+ cannot be read: .*Input/output error"),
    ):
        next(stream)


@READERS
def test_batches_of_any_size_end_with_the_addresses(tiny_store, open_ring):
    store = Store.open(tiny_store)
    parts = [np.full(size, store.split("train")[0].first_frame) for size in (3, 1, 3, 2, 1)]
    supply = StoreClips(store=store, device=CPU, open_ring=open_ring)
    with supply.stream(iter(parts), clip_frames=CLIP_FRAMES, max_clips=3) as stream:
        assert [len(clips.states_BTA) for clips in stream] == [3, 1, 3, 2, 1]
        assert next(stream, None) is None


@READERS
def test_a_file_that_cannot_be_read_stops_the_stream_with_the_slot_named(make_store, tmp_path, open_ring):
    path = make_store(tmp_path / "unreadable.zarr", trajectories=[(16, "train")])
    store = Store.open(path)
    states = path / slot_path(store.specs["states"], 0)
    states.unlink()
    states.mkdir()
    with (
        source_of(store, open_ring=open_ring).stream(0) as stream,
        pytest.raises(StoreReadError, match=r"clip at frame 0 of slot 0 cannot be read: .*Is a directory"),
    ):
        next(stream)


def test_leaving_the_stream_ends_its_threads(tiny_store):
    with source_of(Store.open(tiny_store)).stream(0) as stream:
        next(stream)
        assert _readers()
    assert not _readers()


def test_an_error_of_the_loop_ends_the_threads_too(tiny_store):
    with pytest.raises(ZeroDivisionError), source_of(Store.open(tiny_store)).stream(0):
        raise ZeroDivisionError
    assert not _readers()


def test_leaving_the_stream_ends_its_processes(tiny_store):
    with source_of(Store.open(tiny_store), open_ring=reading_processes).stream(0) as stream:
        next(stream)
        assert len(_children()) == CACHED_READERS
    assert not _children()


def test_a_script_called_train_in_the_users_folder_is_not_taken_for_ours(tiny_store, tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text("raise SystemExit('the user's own')")
    monkeypatch.chdir(tmp_path)
    with source_of(Store.open(tiny_store), open_ring=reading_processes).stream(0) as stream:
        assert len(next(stream).states_BTA) == 2


def test_a_reading_process_that_was_killed_stops_the_stream(tiny_store):
    with source_of(Store.open(tiny_store), open_ring=reading_processes).stream(0) as stream:
        next(stream)
        for child in _children():
            child.kill()
        with pytest.raises(StoreReadError, match="A process that reads the store has ended by SIGKILL: "):
            list(islice(stream, RING_SIZE + 1))


CUTS_WHAT_IS_MAPPED = """
import store_schema.file_maps as maps
maps.LEAST_BYTES = 1
maps._Map.is_in_memory = lambda *range_: True
maps._identity = lambda status: (0, 0, 0)
"""


def test_a_disk_that_fails_under_a_map_stops_the_stream_with_the_slot_named(
    make_store, tmp_path, monkeypatch
):
    """As a file that is cut between the look at its pages and their copy: the look is left out."""
    path = make_store(tmp_path / "failing.zarr", trajectories=[(16, "train"), (16, "train")])
    (tmp_path / "sitecustomize.py").write_text(CUTS_WHAT_IS_MAPPED)
    monkeypatch.syspath_prepend(tmp_path)
    store = Store.open(path)
    whole, cut = np.array([0, 0]), np.array([0, 128])
    supply = StoreClips(store=store, device=CPU, open_ring=partial(reading_processes, num_readers=1))
    batches = iter([np.array([128]), *[whole] * RING_SIZE, cut])
    with supply.stream(batches, clip_frames=CLIP_FRAMES, max_clips=2) as stream:
        next(stream)
        os.truncate(path / slot_path(store.specs["latents"], 1), 0)
        with pytest.raises(StoreReadError, match=r"clip at frame 0 of slot 1, by SIGBUS: the disk failed"):
            list(stream)


def test_a_reading_process_with_several_readers_answers_in_order(tiny_store, monkeypatch):
    monkeypatch.setattr(direct_io, "memory_bytes", lambda: 0)
    monkeypatch.setattr(direct_io, "can_read_directly", lambda _: True)
    store = Store.open(tiny_store)
    source = source_of(store, open_ring=partial(reading_processes, num_readers=1), micro_batch_clips=4)
    with source.stream(0) as stream:
        assert len(_children()) == 1
        found = torch.cat([clips.states_BTA for clips in islice(stream, 3 * RING_SIZE)])
    drawn = np.concatenate([source.sampler.draw(step) for step in range(3 * RING_SIZE)])
    expected = [read_by_zarr(store, first_frame)["states"] for first_frame in drawn.tolist()]
    assert torch.equal(found, torch.stack(expected))


def test_reading_processes_do_not_outlive_a_training_process_that_is_killed(tiny_store):
    trains = (
        "import torch, numpy as np\n"
        "from store_schema.store import Store\n"
        "from train.reader_processes import reading_processes\n"
        "from train.stream import StoreClips\n"
        f"supply = StoreClips(store=Store.open({str(tiny_store)!r}), device=torch.device('cpu'),\n"
        "                    open_ring=reading_processes)\n"
        "with supply.stream(iter([np.array([0])] * 9), clip_frames=4, max_clips=1) as stream:\n"
        "    next(stream)\n"
        "    print('reading', flush=True)\n"
        "    input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", trains], stdin=pipe, stdout=pipe, env=_our_path()
    ) as training:
        assert training.stdout.readline() == b"reading\n"
        readers = psutil.Process(training.pid).children()
        assert len(readers) == CACHED_READERS
        training.kill()
    _, alive = psutil.wait_procs(readers, timeout=30)
    assert not alive


def test_reading_processes_do_without_torch():
    imports = "import sys, train.reader_processes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imports], env=_our_path()).returncode == 0


def test_waiting_is_measured_only_while_nothing_is_ready(tiny_store, monkeypatch):
    read = ByteRangeReader.read_into

    def slowly(*args):
        time.sleep(0.04)
        read(*args)

    monkeypatch.setattr(ByteRangeReader, "read_into", slowly)
    with source_of(Store.open(tiny_store)).stream(0) as stream:
        next(stream)
        waited = stream.waited_seconds
        assert waited > 0.1
        time.sleep(1.5)
        next(stream)
        assert stream.waited_seconds - waited < 0.1


def test_reading_ahead_is_bounded_by_the_ring(tiny_store, monkeypatch):
    rows = []
    read = ByteRangeReader.read_into

    def counted(self, spec, slot, start, out):
        rows.append(spec.name)
        read(self, spec, slot, start, out)

    monkeypatch.setattr(ByteRangeReader, "read_into", counted)
    store = Store.open(tiny_store)
    in_one_slot = WindowSampler.over(
        store.split("train")[:1], clip_frames=CLIP_FRAMES, batch_clips=4, sample_by=SampleBy.WINDOW, seed=0
    )
    source = DrawnClips(
        supply=StoreClips(store=store, device=CPU),
        sampler=in_one_slot,
        clip_frames=CLIP_FRAMES,
        micro_batch_clips=2,
    )
    with source.stream(0) as stream:
        next(stream)
        deadline = time.monotonic() + 30.0
        while rows.count("latents") < RING_SIZE * 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        assert rows.count("latents") == RING_SIZE * 2


def _children() -> list[psutil.Process]:
    ours = (process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE)
    return [process for process in ours if "train.reader_processes" in process.cmdline()]


def _our_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def _readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("clip-reader")]


@READERS
def test_the_batch_after_a_damaged_one_is_whole(make_store, tmp_path, open_ring):
    """No reader's answer for the one may be taken for the other's."""
    path = make_store(tmp_path / "damaged.zarr", trajectories=[(16, "train"), (16, "train")])
    store = Store.open(path)
    shard = path / slot_path(store.specs["latents"], 0)
    shard.write_bytes(b"\1\1\1\1" + shard.read_bytes()[4:])
    damaged, whole = np.array([128, 0]), np.array([128, 128])
    supply = StoreClips(store=store, device=CPU, open_ring=open_ring)
    with supply.stream(iter([damaged, whole] * 4), clip_frames=CLIP_FRAMES, max_clips=2) as stream:
        for _ in range(4):
            with pytest.raises(DamagedStoreError, match="of slot 0"):
                next(stream)
            states_BTA = next(stream).states_BTA
            assert torch.equal(states_BTA[0], read_by_zarr(store, 128)["states"])


def test_more_readers_wait_for_a_disk_than_for_memory(tiny_store, monkeypatch):
    threads = []
    for memory_bytes in (2**40, 0):
        monkeypatch.setattr(direct_io, "memory_bytes", lambda: memory_bytes)  # noqa: B023
        monkeypatch.setattr(direct_io, "can_read_directly", lambda _: True)
        threads.append(enough_for(ClipReader.open(Store.open(tiny_store))))
    assert threads == [CACHED_READERS, WAITING_READERS]


@pytest.mark.gpu
def test_a_gpu_receives_the_same_clips_from_locked_memory(tiny_store, cuda_device):
    """Held all along, so that a copy that overtakes its buffer would show."""
    store = Store.open(tiny_store)
    with source_of(store).stream(0) as on_cpu, source_of(store, device=cuda_device).stream(0) as on_gpu:
        assert all(torch.from_numpy(buffers.latents_BTND).is_pinned() for buffers in on_gpu.ring.buffers)
        pairs = list(islice(zip(on_cpu, on_gpu, strict=True), 4 * RING_SIZE))
    for ours, theirs in pairs:
        assert torch.equal(ours.actions_BTA, theirs.actions_BTA.cpu())
        torch.testing.assert_close(ours.latents_BTND, theirs.latents_BTND.cpu(), rtol=1e-6, atol=1e-6)
