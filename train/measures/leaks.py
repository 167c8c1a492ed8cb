"""Whether what is measured sees what it must not: frames to come, or recorded states that give actions away.

What lies after a frame is replaced by nonsense; whatever may not know of it has to stay as it was. Two leaks
that made other people's numbers too good: attention that sees a frame ahead, and an open loop that is given
the recorded states instead of integrating its own.

Shape legend: B clips, T frames, N tokens per frame, D encoder width, A action size (7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from train import evaluation
from train.clips import Clips
from train.predictor import Predictor

_NONSENSE = 3.0
_ROUNDING = 1e-4
_HELD_FRAMES = 2


class LeakError(Exception):
    """A prediction depends on what is only known after it."""


def ensure_no_leak(predictor: Predictor, clips: Clips) -> None:
    """Raise LeakError where predictions or open-loop errors move with what comes after them.

    clips: two or more, as long as `train.evaluation.CLIP_FRAMES`; the last only lends its actions.
    """
    with torch.no_grad():
        found = [*_from_the_future(predictor, clips), *_into_the_open_loop(predictor, clips)]
    if found:
        raise LeakError(
            f"{'; '.join(found)}. Numbers measured this way would be too good; mend the predictor or the "
            "evaluation first."
        )


def _from_the_future(predictor: Predictor, clips: Clips) -> Iterator[str]:
    """Of the first frames' predictions, with every frame given."""
    inputs = {
        "latents": clips.latents_BTND[:, :-1],
        "actions": clips.actions_BTA,
        "states": clips.states_BTA[:, :-1],
    }
    honest_BTND = predictor(*inputs.values())
    for name, values in inputs.items():
        told = predictor(*(inputs | {name: _nonsense_from(values, _HELD_FRAMES)}).values())
        if _differ(told[:, :_HELD_FRAMES], honest_BTND[:, :_HELD_FRAMES]):
            yield f"Predictions of earlier frames move with the {name} of later ones (a future leak)"


def _into_the_open_loop(predictor: Predictor, clips: Clips) -> Iterator[str]:
    """Recorded states after the first frame may matter nowhere; recorded latents, where they are scored."""
    scored = evaluation.HORIZONS
    unscored = [frame for frame in range(1, evaluation.CLIP_FRAMES) if frame not in scored]
    latents_BTND = clips.latents_BTND.clone()
    latents_BTND[:, unscored] = _NONSENSE
    altered = {
        "states": replace(clips, states_BTA=_nonsense_from(clips.states_BTA, 1)),
        "latents": replace(clips, latents_BTND=latents_BTND),
    }
    honest = evaluation.open_loop_errors(predictor, clips)
    for name, told in altered.items():
        errors = evaluation.open_loop_errors(predictor, told)
        if any(_differ(errors[way], honest[way]) for way in honest):
            yield f"Open-loop errors move with {name} recorded after the first frame (an action leak)"


def _nonsense_from(values_BTX: Tensor, frame: int) -> Tensor:
    changed_BTX = values_BTX.clone()
    changed_BTX[:, frame:] += _NONSENSE
    return changed_BTX


def _differ(one: Tensor, other: Tensor) -> bool:
    return not torch.allclose(one.float(), other.float(), rtol=_ROUNDING, atol=_ROUNDING)
