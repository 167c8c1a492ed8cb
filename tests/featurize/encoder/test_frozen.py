"""What every encoder promises about the frames it is given."""

import pytest
import torch
import torch.nn.functional as F

from featurize.encoder.errors import FramesError
from featurize.encoder.load import load_encoder

# Of latents of unit variance; float32. Said in the docstring of `FrozenEncoder.encode`.
BATCH_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def encoder(random_spec):
    return load_encoder(random_spec)


def test_batches_of_1_and_16_agree(encoder, sixteen_frames):
    together_FND = encoder.encode(sixteen_frames)
    one_by_one_FND = torch.cat([encoder.encode(frame_1CHW) for frame_1CHW in sixteen_frames.split(1)])
    torch.testing.assert_close(one_by_one_FND, together_FND, rtol=0, atol=BATCH_TOLERANCE)


def test_changing_one_frame_changes_only_its_latent(encoder, sixteen_frames):
    changed_FCHW = sixteen_frames.clone()
    changed_FCHW[5, 0, 0, 0] += 40
    before_FND, after_FND = encoder.encode(sixteen_frames), encoder.encode(changed_FCHW)
    others = [frame for frame in range(16) if frame != 5]
    assert torch.equal(before_FND[others], after_FND[others])
    assert not torch.equal(before_FND[5], after_FND[5])


def test_encoding_twice_gives_the_same_bits(encoder, sixteen_frames):
    assert torch.equal(encoder.encode(sixteen_frames), encoder.encode(sixteen_frames))


def test_latents_are_float32_and_layer_normed_over_channels(encoder, sixteen_frames):
    latents_FND = encoder.encode(sixteen_frames)
    assert latents_FND.dtype == torch.float32
    assert latents_FND.shape == (16, encoder.spec.num_tokens, encoder.spec.width)
    torch.testing.assert_close(
        latents_FND, F.layer_norm(latents_FND, latents_FND.shape[-1:]), rtol=1e-4, atol=1e-4
    )


def test_nothing_is_kept_for_gradients(encoder, sixteen_frames):
    assert encoder.encode(sixteen_frames.clone().requires_grad_()).requires_grad is False


def test_an_all_black_frame_has_finite_latents(encoder):
    assert encoder.encode(torch.zeros(1, 3, 64, 64)).isfinite().all()


def test_bfloat16_gives_float32_latents_near_the_float32_ones(random_spec, encoder, frames, relative_error):
    half = load_encoder(random_spec, dtype=torch.bfloat16)
    latents_FND = half.encode(frames)
    assert (half.dtype, latents_FND.dtype) == (torch.bfloat16, torch.float32)
    assert 1e-4 < relative_error(latents_FND, encoder.encode(frames)) < 2e-2
    assert half.weights_sha256 == encoder.weights_sha256


def test_computes_in_bfloat16_on_cuda_and_float32_on_the_cpu():
    from featurize.encoder.load import default_dtype

    assert default_dtype(torch.device("cuda", 0)) == torch.bfloat16
    assert default_dtype(torch.device("cpu")) == torch.float32


@pytest.mark.parametrize(
    ("frames", "got"),
    [
        (torch.zeros(2, 3, 32, 64), r"torch\.float32 of shape \(2, 3, 32, 64\)"),
        (torch.zeros(2, 64, 64, 3), r"torch\.float32 of shape \(2, 64, 64, 3\)"),
        (torch.zeros(3, 64, 64), r"torch\.float32 of shape \(3, 64, 64\)"),
        (torch.zeros(0, 3, 64, 64), r"torch\.float32 of shape \(0, 3, 64, 64\)"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.uint8), r"torch\.uint8 of shape \(2, 3, 64, 64\)"),
    ],
)
def test_rejects_frames_of_another_shape_or_dtype(encoder, frames, got):
    with pytest.raises(FramesError, match=rf"tiny-random takes float32 frames \(F, 3, 64, 64\).*; got {got}"):
        encoder.encode(frames)
