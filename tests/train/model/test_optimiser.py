import torch

from train.optimiser import build_adamw, set_learning_rate
from train.predictor import Predictor


def groups_by_name(predictor, optimiser) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in predictor.named_parameters()}
    return {
        names[id(parameter)]: group["weight_decay"]
        for group in optimiser.param_groups
        for parameter in group["params"]
    }


def test_weight_matrices_alone_are_decayed(golden_config):
    predictor = Predictor(golden_config)
    decay = groups_by_name(predictor, build_adamw(predictor))
    for name, weight_decay in decay.items():
        assert weight_decay == (0.0 if name.endswith("bias") or "norm" in name else 0.04), name
    assert decay["predictor_blocks.0.attn.qkv.weight"] == 0.04


def test_every_trainable_parameter_is_optimised_once_and_the_unused_map_never(golden_config):
    predictor = Predictor(golden_config)
    optimiser = build_adamw(predictor)
    optimised = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    assert len(optimised) == len({id(parameter) for parameter in optimised})
    left_out = {name for name, _ in predictor.named_parameters()} - groups_by_name(
        predictor, optimiser
    ).keys()
    assert left_out == {"extrinsics_encoder.weight", "extrinsics_encoder.bias"}


def test_adam_has_the_published_constants(golden_config):
    for group in build_adamw(Predictor(golden_config), weight_decay=0.1).param_groups:
        assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)


def test_nothing_moves_until_a_learning_rate_is_set():
    layer = torch.nn.Linear(2, 2)
    before = layer.weight.clone()
    optimiser = build_adamw(layer)
    for learning_rate, moves in ((None, False), (0.1, True)):
        if learning_rate is not None:
            set_learning_rate(optimiser, learning_rate)
        layer(torch.ones(1, 2)).sum().backward()
        optimiser.step()
        assert torch.equal(layer.weight, before) is not moves
    assert [group["lr"] for group in optimiser.param_groups] == [0.1, 0.1]


def test_the_fused_step_is_the_step_of_the_plain_kernel(golden_config):
    predictors = [Predictor(golden_config), Predictor(golden_config)]
    fused = build_adamw(predictors[0])
    groups = [{**group, "fused": False} for group in build_adamw(predictors[1]).param_groups]
    plain = torch.optim.AdamW(groups)
    assert [group["fused"] for group in fused.param_groups] == [True, True]
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for optimiser, predictor in zip((fused, plain), predictors, strict=True):
            set_learning_rate(optimiser, 1e-2)
            generator.manual_seed(int(generator.initial_seed()))
            for parameter in predictor.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimiser.step()
    for (name, got), wanted in zip(predictors[0].named_parameters(), predictors[1].parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7, msg=name)


def test_a_state_saved_by_the_plain_kernel_is_continued_by_it(golden_config):
    """Runs begun before the fused kernel was used go on bit for bit."""
    predictor = Predictor(golden_config)
    old = torch.optim.AdamW([{**group, "fused": None} for group in build_adamw(predictor).param_groups])
    for parameter in predictor.parameters():
        parameter.grad = torch.ones_like(parameter)
    old.step()
    resumed = build_adamw(predictor)
    resumed.load_state_dict(old.state_dict())
    assert {group["fused"] for group in resumed.param_groups} == {None}
