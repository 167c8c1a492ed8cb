"""How many slots a worker decodes at once."""

import pytest
import torch

from featurize import threads
from featurize.threads import MAX_DECODERS, most_decoders

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("num_cores", "workers", "decoders"),
    [(2, 1, 2), (2, 2, 1), (1, 1, 1), (8, 8, 1), (8, 4, 2), (2, 5, 1)],
)
def test_beside_a_cpu_that_encodes_two_but_one_where_workers_fill_the_cores(
    monkeypatch: pytest.MonkeyPatch, num_cores: int, workers: int, decoders: int
) -> None:
    monkeypatch.setattr(threads, "num_cores", lambda: num_cores)
    assert most_decoders(CPU, workers) == decoders


@pytest.mark.parametrize(
    ("num_cores", "num_gpus", "decoders"), [(16, 1, 16), (16, 8, 2), (4, 8, 1), (256, 1, MAX_DECODERS)]
)
def test_beside_a_gpu_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, num_cores: int, num_gpus: int, decoders: int
) -> None:
    monkeypatch.setattr(threads, "num_cores", lambda: num_cores)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    assert most_decoders(GPU, num_gpus) == decoders
