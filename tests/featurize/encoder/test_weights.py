"""The hash that goes into a store's fingerprint."""

import pytest
import torch
from torch import nn

from featurize.encoder.weights import weights_sha256


def network(*, name="a", values=(1.0, 2.0, 3.0, 4.0), shape=(2, 2), dtype=torch.float32):
    module = nn.Module()
    module.register_buffer(name, torch.tensor(values, dtype=dtype).reshape(shape))
    return module


@pytest.mark.parametrize(
    "other",
    [
        {"name": "b"},
        {"values": (1.0, 2.0, 3.0, 5.0)},
        {"shape": (4, 1)},
        {"dtype": torch.float64},
    ],
)
def test_name_values_shape_and_dtype_all_count(other):
    assert weights_sha256(network()) != weights_sha256(network(**other))


def test_equal_weights_have_equal_hashes_however_they_lie_in_memory():
    transposed = network()
    transposed.a = torch.tensor([[1.0, 3.0], [2.0, 4.0]]).T
    assert weights_sha256(network()) == weights_sha256(transposed)


def test_the_order_of_definition_does_not_count():
    first, second = nn.Module(), nn.Module()
    for module, names in ((first, "ab"), (second, "ba")):
        for name in names:
            module.register_buffer(name, torch.full((2,), float(ord(name))))
    assert weights_sha256(first) == weights_sha256(second)
