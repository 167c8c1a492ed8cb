"""The read side's values check themselves; buffers are aligned and reused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from store_schema.batch import ClipBatch
from store_schema.buffers import ClipBuffers
from store_schema.errors import SchemaError
from store_schema.format import LatentShape, Quantisation

PAGE_BYTES = 4096


def batch() -> ClipBatch:
    return ClipBatch(
        latents_BTND=torch.zeros(2, 3, 4, 8, dtype=torch.int8),
        token_scale_BTN=torch.zeros(2, 3, 4, dtype=torch.float16),
        states_BTA=torch.zeros(2, 3, 7),
        actions_BTA=torch.zeros(2, 2, 7),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latents_BTND": torch.zeros(3, 4, 8, dtype=torch.int8)},
         r"Latents of a clip batch are \(B, T, N, D\); got \(3, 4, 8\)"),
        ({"latents_BTND": torch.zeros(2, 3, 4, 8)},
         "Latents of a clip batch are int8 or float16; got torch.float32"),
        ({"states_BTA": torch.zeros(2, 2, 7)},
         r"Clip batch 'states' is torch.float32 \(2, 2, 7\); expected torch.float32 \(2, 3, 7\)"),
        ({"states_BTA": torch.zeros(2, 3, 7, dtype=torch.float64)},
         r"Clip batch 'states' is torch.float64 \(2, 3, 7\); expected torch.float32 \(2, 3, 7\)"),
        ({"actions_BTA": torch.zeros(2, 3, 7)},
         r"Clip batch 'actions' is torch.float32 \(2, 3, 7\); expected torch.float32 \(2, 2, 7\)"),
        ({"token_scale_BTN": torch.zeros(2, 3, 5, dtype=torch.float16)},
         r"Clip batch 'token_scale' is torch.float16 \(2, 3, 5\); expected torch.float16 \(2, 3, 4\)"),
        ({"token_scale_BTN": torch.zeros(2, 3, 4)},
         "Clip batch 'token_scale' is torch.float32"),
        ({"token_scale_BTN": None},
         "A clip batch has token scales exactly when its latents are int8 codes"),
        ({"latents_BTND": torch.zeros(2, 3, 4, 8, dtype=torch.float16)},
         "A clip batch has token scales exactly when its latents are int8 codes"),
    ],
)  # fmt: skip
def test_a_batch_refuses_what_does_not_fit(changes: dict[str, torch.Tensor | None], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        replace(batch(), **changes)


def test_a_float16_batch_has_no_scales() -> None:
    latents_BTND = torch.zeros(2, 3, 4, 8, dtype=torch.float16)
    moved = replace(batch(), latents_BTND=latents_BTND, token_scale_BTN=None).to("cpu")
    assert moved.token_scale_BTN is None


def test_a_batch_keeps_its_values_on_another_device() -> None:
    moved = batch().to("meta")
    assert {t.device.type for t in (moved.latents_BTND, moved.token_scale_BTN, moved.states_BTA)} == {"meta"}
    assert moved.actions_BTA.shape == (2, 2, 7)


@pytest.mark.parametrize("quantisation", list(Quantisation))
def test_buffers_start_on_a_page(quantisation: Quantisation) -> None:
    shape = LatentShape(num_tokens=5, width=24)
    buffers = ClipBuffers.allocate(num_clips=3, num_frames=4, latent_shape=shape, quantisation=quantisation)
    arrays = [buffers.latents_BTND, buffers.token_scale_BTN, buffers.states_BTA, buffers.actions_BTA]
    assert all(array.ctypes.data % PAGE_BYTES == 0 for array in arrays if array is not None)
    assert (buffers.token_scale_BTN is None) == (quantisation is Quantisation.FLOAT16)
    assert buffers.latents_BTND.dtype == quantisation.value


def test_a_batch_is_a_view_of_its_buffers_without_the_last_action() -> None:
    shape = LatentShape(num_tokens=5, width=24)
    buffers = ClipBuffers.allocate(
        num_clips=3, num_frames=4, latent_shape=shape, quantisation=Quantisation.INT8
    )
    buffers.latents_BTND[2, 3, 4, 5] = 77
    buffers.actions_BTA[:] = np.arange(4)[:, None]
    view = ClipBatch.of(buffers)
    assert view.latents_BTND[2, 3, 4, 5] == 77
    assert view.latents_BTND.data_ptr() == buffers.latents_BTND.ctypes.data
    assert view.actions_BTA[0, :, 0].tolist() == [0, 1, 2]
    assert buffers.num_frames == 4
