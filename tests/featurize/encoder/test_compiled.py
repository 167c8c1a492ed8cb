"""What a GPU runs: compiled blocks, a few batch sizes. Here on the CPU, where the compiler only traces."""

import pytest
import torch
import torch._dynamo
from torch._dynamo.testing import CompileCounter

from featurize.encoder.compiled import SMALLEST_PASS, compile_blocks, passes
from featurize.encoder.load import load_encoder
from featurize.encoder.timm_vit import build_timm

TOLERANCE = 1e-5


@pytest.fixture
def counter():
    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


@pytest.fixture
def compiled(random_spec, counter):
    """An encoder as on a GPU, but for the code of its blocks."""
    encoder = load_encoder(random_spec)
    compile_blocks(encoder._network, backend=counter)
    encoder._is_compiled = True
    return encoder


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(32, [32]), (39, [32, 4, 4]), (1, [4]), (7, [4, 4]), (100, [64, 32, 4]), (128, [128]), (8, [8])],
)
def test_batches_are_cut_into_powers_of_two(num_frames, expected):
    assert passes(num_frames) == expected


def test_six_sizes_do_for_a_slot_and_few_frames_are_added():
    cuts = {num_frames: passes(num_frames) for num_frames in range(1, 129)}
    assert {size for sizes in cuts.values() for size in sizes} == {4, 8, 16, 32, 64, 128}
    assert all(0 <= sum(sizes) - num_frames < SMALLEST_PASS for num_frames, sizes in cuts.items())


def test_one_block_is_compiled_a_size_and_not_one_a_depth(compiled, counter, sixteen_frames, random_spec):
    assert random_spec.depth > 1
    for num_frames in (16, 8, 5, 16, 12):
        compiled.encode(sixteen_frames[:num_frames])
    assert counter.frame_count == len({16, 8, 4})


def test_frames_that_fill_a_batch_up_change_nothing_and_are_dropped(compiled, random_spec, sixteen_frames):
    plain_FND = load_encoder(random_spec).encode(sixteen_frames[:7])
    latents_FND = compiled.encode(sixteen_frames[:7])
    assert latents_FND.shape == plain_FND.shape
    torch.testing.assert_close(latents_FND, plain_FND, rtol=0, atol=TOLERANCE)


def test_changing_one_frame_changes_only_its_latent(compiled, sixteen_frames):
    before_FND = compiled.encode(sixteen_frames[:13])
    changed_FCHW = sixteen_frames[:13].clone()
    changed_FCHW[12, 0, 0, 0] += 40
    after_FND = compiled.encode(changed_FCHW)
    assert torch.equal(before_FND[:12], after_FND[:12])
    assert not torch.equal(before_FND[12], after_FND[12])


def test_the_names_of_weights_stay(compiled, random_spec):
    plain = load_encoder(random_spec)
    assert compiled._network.state_dict().keys() == plain._network.state_dict().keys()


def test_blocks_of_a_timm_model_are_compiled_too(counter):
    network = build_timm("test_vit").eval()
    compile_blocks(network, backend=counter)
    with torch.inference_mode():
        for _ in range(2):
            network(torch.zeros(4, 3, 160, 160))
    assert counter.frame_count == 1


def test_a_cpu_runs_what_it_always_ran(random_spec):
    encoder = load_encoder(random_spec)
    assert not encoder._is_compiled
    assert all(block._compiled_call_impl is None for block in encoder._network.blocks)


@pytest.mark.gpu
def test_latents_on_a_gpu_are_near_those_of_the_cpu_and_repeat(
    random_spec, sixteen_frames, relative_error, cuda_device
):
    """Whole and partly filled passes, computed by compiled blocks in bfloat16."""
    on_gpu, on_cpu = (load_encoder(random_spec, device=device) for device in (cuda_device, "cpu"))
    frames_FCHW = sixteen_frames[:13]
    latents_FND = on_gpu.encode(on_gpu.upload(frames_FCHW))
    with on_gpu.beside():
        copied_FND = latents_FND.cpu()
    assert relative_error(copied_FND, on_cpu.encode(frames_FCHW)) < 2e-2
    assert torch.equal(on_gpu.encode(frames_FCHW).cpu(), copied_FND)


@pytest.mark.gpu
def test_the_default_compiler_takes_every_block(random_spec, cuda_device):
    encoder = load_encoder(random_spec, device=cuda_device)
    assert all(block._compiled_call_impl is not None for block in encoder._network.blocks)
