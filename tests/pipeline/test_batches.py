import pytest

from pipeline.batches import slots_per_task


@pytest.mark.parametrize(
    ("num_slots", "num_workers", "device", "size"),
    [
        (23_000, 8, "cuda", 256),
        (4_000, 8, "cuda:3", 125),
        (21, 2, "cuda", 8),
        (23_000, 512, "cuda", 11),
        (23_000, 8, "cpu", 8),
    ],
)
def test_a_gpu_is_handed_more_slots_at_once_but_every_worker_gets_some(num_slots, num_workers, device, size):
    assert slots_per_task(num_slots, num_workers, device) == size
