import dataclasses

import pytest
import torch

from store_schema.store import Store
from train.assembly import drawn_clips, named_losses, predictor_config
from train.clips import Clips
from train.optimiser import build_adamw
from train.predictor import Predictor
from train.update import NonFiniteLossError, update
from train.view import View


@pytest.fixture
def view(tiny_store):
    return View.of_store(Store.open(tiny_store), torch.device("cpu"))


@pytest.fixture
def clips(view, tiny_recipe):
    with drawn_clips(tiny_recipe(micro_batch_clips=4), view).stream(0) as stream:
        return next(stream)


@pytest.fixture
def predictor(view, tiny_recipe):
    """With every map in use: the residual head starts at zero, which would hide most gradients."""
    predictor = Predictor(predictor_config(tiny_recipe(), view))
    torch.nn.init.normal_(predictor.predictor_proj.weight, generator=torch.Generator().manual_seed(0))
    return predictor


def one_update(predictor, recipe, batches, *, learning_rate=1e-3, losses_of=None):
    return update(
        predictor,
        build_adamw(predictor, recipe.weight_decay),
        losses_of or named_losses(recipe, predictor, torch.device("cpu")),
        iter(batches),
        micro_batches=len(batches),
        step=7,
        learning_rate=learning_rate,
    )


def rows(clips: Clips, first: int, last: int) -> Clips:
    return Clips(
        **{field.name: getattr(clips, field.name)[first:last] for field in dataclasses.fields(clips)}
    )


def gradients(predictor) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in predictor.parameters() if p.grad is not None])


@pytest.mark.parametrize("micro_batch_clips", [1, 2])
def test_micro_batches_make_the_update_of_their_union(predictor, clips, tiny_recipe, micro_batch_clips):
    recipe = tiny_recipe()
    whole = one_update(predictor, recipe, [clips], learning_rate=0.0)
    of_whole = gradients(predictor)
    parts = [rows(clips, i, i + micro_batch_clips) for i in range(0, 4, micro_batch_clips)]
    of_parts = one_update(predictor, recipe, parts, learning_rate=0.0)
    assert of_parts.losses == pytest.approx(whole.losses, rel=1e-5)
    assert of_parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-4)
    torch.testing.assert_close(gradients(predictor), of_whole, rtol=1e-3, atol=1e-6)


def test_reports_the_named_losses_and_the_norm_before_the_step(predictor, clips, tiny_recipe):
    recipe = tiny_recipe()
    before = named_losses(recipe, predictor, torch.device("cpu"))(clips)
    result = one_update(predictor, recipe, [clips])
    assert result.losses == {name: value.item() for name, value in before.items()}
    assert result.losses.keys() == {"loss", "teacher_forcing_loss", "rollout_loss"}
    assert result.gradient_norm == pytest.approx(gradients(predictor).double().norm().item(), rel=1e-5)


def test_a_loss_that_is_not_finite_leaves_the_weights_untouched(predictor, clips, tiny_recipe):
    clips.latents_BTND[1, 2, 0, 0] = torch.nan
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    expected = r"Update 7 at learning rate 0.001 gives \{'loss': nan.*lower lr_peak"
    with pytest.raises(NonFiniteLossError, match=expected):
        one_update(predictor, tiny_recipe(), [clips])
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())


def test_a_gradient_that_is_not_finite_leaves_the_weights_untouched(predictor, clips, tiny_recipe):
    """The square root of zero is finite, its derivative is not."""
    before = {name: value.clone() for name, value in predictor.state_dict().items()}

    def losses_of(_clips):
        return {
            "loss": predictor.predictor_proj.weight.sub(predictor.predictor_proj.weight).sum().abs().sqrt()
        }

    with pytest.raises(NonFiniteLossError, match=r"gives \{'gradient_norm': nan\}"):
        one_update(predictor, tiny_recipe(), [clips], losses_of=losses_of)
    assert all(torch.equal(value, before[name]) for name, value in predictor.state_dict().items())
