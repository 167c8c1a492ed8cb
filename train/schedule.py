"""Learning rate over a run: warm-up, constant, decay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["warm-up", "constant", "decay"]


class ScheduleError(ValueError):
    """A schedule makes no sense, or was asked for a step that it does not have."""


@dataclass(frozen=True, kw_only=True)
class WarmupConstantDecay:
    """Linear from `lr_start` to `lr_peak`, constant, linear to `lr_end`.

    Steps are updates counted from 0. Update `step` uses the rate that `WSDSchedule` of
    facebookresearch/vjepa2 (`src/utils/schedulers.py`) sets in its (step + 1)-th call, which its training
    loop makes before that update: update 0 is already one increment above `lr_start`, the last update of the
    warm-up has `lr_peak` and the last update of the run has `lr_end`.
    """

    lr_start: float
    lr_peak: float
    lr_end: float
    warmup_steps: int
    constant_steps: int
    decay_steps: int

    def __post_init__(self) -> None:
        for name in ("lr_start", "lr_peak", "lr_end", "warmup_steps", "constant_steps", "decay_steps"):
            if getattr(self, name) < 0:
                raise ScheduleError(f"{name} is {getattr(self, name)}; it must not be negative.")
        if self.total_steps < 1:
            raise ScheduleError("warmup_steps, constant_steps and decay_steps are all 0; a run needs a step.")

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        return self.warmup_steps + self.constant_steps + self.decay_steps

    def phase(self, step: int) -> Phase:
        """The phase that update `step` belongs to; raises ScheduleError beyond the run."""
        if not 0 <= step < self.total_steps:
            raise ScheduleError(f"Step {step} lies outside this schedule of {self.total_steps} steps.")
        if step < self.warmup_steps:
            return "warm-up"
        return "constant" if step < self.warmup_steps + self.constant_steps else "decay"

    def learning_rate(self, step: int) -> float:
        """The learning rate of update `step`; raises ScheduleError beyond the run."""
        match self.phase(step):
            case "warm-up":
                return _between(self.lr_start, self.lr_peak, (step + 1) / self.warmup_steps)
            case "constant":
                return self.lr_peak
            case "decay":
                decayed = step + 1 - self.warmup_steps - self.constant_steps
                return _between(self.lr_peak, self.lr_end, decayed / self.decay_steps)

    def scaled(self, total_steps: int) -> WarmupConstantDecay:
        """The same phases in proportion over another number of steps, their ends rounded to whole ones."""
        warmup_steps = round(total_steps * self.warmup_steps / self.total_steps)
        decay_starts = round(total_steps * (self.warmup_steps + self.constant_steps) / self.total_steps)
        return replace(
            self,
            warmup_steps=warmup_steps,
            constant_steps=decay_starts - warmup_steps,
            decay_steps=total_steps - decay_starts,
        )


def _between(start: float, end: float, progress: float) -> float:
    """Exact at both ends, which `start + progress * (end - start)` is not."""
    return (1.0 - progress) * start + progress * end


PUBLISHED_SCHEDULE = WarmupConstantDecay(
    lr_start=7.5e-5, lr_peak=4.25e-4, lr_end=0.0, warmup_steps=4_500, constant_steps=85_500, decay_steps=4_500
)
"""V-JEPA 2-AC's 94,500 updates of 256 clips (`configs/train/vitg16/droid-256px-8f.yaml` upstream)."""
