"""Compiled blocks give what plain ones give, under the same names."""

import pytest
import torch

from train.compiling import compile_blocks, compile_for_training
from train.objective import Objective, rollout
from train.predictor import Predictor, PredictorConfig
from train.step_rate import random_clips

CONFIG = PredictorConfig(
    grid_height=2, grid_width=2, encoder_width=8, width=24, depth=2, num_heads=2, head="residual"
)
CPU = torch.device("cpu")


# Dynamo looks at the gradients of the tokens that it guards.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"
)

TRACING = "aot_eager"
"""All of torch.compile but the writing of kernels, which takes a compiler and a minute."""


@pytest.fixture(autouse=True)
def nothing_compiled_yet():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def graphs_captured() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def loud_predictor() -> Predictor:
    predictor = Predictor(CONFIG, seed=1)
    torch.nn.init.normal_(predictor.predictor_proj.weight, generator=torch.Generator().manual_seed(0))
    return predictor


def loss_and_gradients(predictor, clips, rollout_steps=2) -> list[torch.Tensor]:
    predictor.zero_grad()
    loss = Objective(rollout_steps=rollout_steps)(predictor, *clips)["loss"]
    loss.backward()
    return [loss.detach(), *(p.grad for p in predictor.parameters() if p.grad is not None)]


@pytest.mark.parametrize("checkpointed_blocks", [0, 1])
def test_compiled_blocks_give_losses_and_gradients_of_plain_ones(checkpointed_blocks):
    plain, compiled = loud_predictor(), loud_predictor()
    compile_blocks(compiled, backend=TRACING)
    compiled.checkpointed_blocks = checkpointed_blocks
    clips = random_clips(CONFIG, 2, 4, CPU)
    got, wanted = loss_and_gradients(compiled, clips), loss_and_gradients(plain, clips)
    for of_compiled, of_plain in zip(got, wanted, strict=True):
        torch.testing.assert_close(of_compiled, of_plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rollout_steps", [1, 2, 3])
def test_one_graph_is_compiled_for_each_shape_whatever_the_depth(rollout_steps):
    """The clip, and one frame after 1 or 2 kept ones; again nothing more in the next update."""
    predictor, clips = loud_predictor(), random_clips(CONFIG, 2, 5, CPU)
    compile_blocks(predictor, backend=TRACING)
    for _ in range(2):
        loss_and_gradients(predictor, clips, rollout_steps)
        assert graphs_captured() == rollout_steps


def test_names_and_tensors_of_the_state_stay_and_load():
    plain, compiled = loud_predictor(), Predictor(CONFIG)
    compile_blocks(compiled)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    compiled.load_state_dict(plain.state_dict())
    plain.load_state_dict(compiled.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in compiled.state_dict().items())


def test_passes_without_gradients_run_uncompiled():
    """Open loops have another length at every step, and would compile for each."""
    compiled = loud_predictor()
    compile_blocks(compiled, backend=TRACING)
    latents, actions, states = random_clips(CONFIG, 2, 4, CPU)
    with torch.no_grad():
        rollout(compiled, latents[:, 0], states[:, 0], actions)
    assert graphs_captured() == 0


@pytest.mark.parametrize(("device", "compiles"), [("cpu", False), ("cuda", True)])
def test_blocks_are_compiled_on_a_gpu_alone(device, compiles):
    predictor = loud_predictor()
    compile_for_training(predictor, torch.device(device))
    assert {block._compiled_call_impl is not None for block in predictor.predictor_blocks} == {compiles}
