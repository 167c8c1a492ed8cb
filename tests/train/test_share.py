import pytest

from train.share import Share, ShareError, share_of


@pytest.mark.parametrize(
    ("num_processes", "clips", "at_once", "passes"),
    [(1, 256, 8, 32), (8, 32, 8, 4), (32, 8, 8, 1), (64, 4, 4, 1), (256, 1, 1, 1)],
)
def test_a_batch_is_shared_equally(tiny_recipe, num_processes, clips, at_once, passes):
    share = share_of(tiny_recipe(batch_clips=256, micro_batch_clips=8), num_processes)
    assert share == Share(clips=clips, micro_batch_clips=at_once)
    assert share.micro_batches == passes


@pytest.mark.parametrize("num_processes", [3, 512])
def test_a_batch_that_does_not_divide_among_the_processes_is_refused(tiny_recipe, num_processes):
    message = f"batch_clips 256 does not divide among {num_processes} processes; start a number of"
    with pytest.raises(ShareError, match=message):
        share_of(tiny_recipe(batch_clips=256, micro_batch_clips=8), num_processes)


def test_a_share_that_is_no_multiple_of_the_micro_batch_is_refused(tiny_recipe):
    with pytest.raises(ShareError, match=r"has 12 of batch_clips 24, .* divisor of 12 with --micro-batch"):
        share_of(tiny_recipe(batch_clips=24, micro_batch_clips=8), 2)
