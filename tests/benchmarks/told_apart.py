"""Which measures of `permafrost evaluate` tell a trained run from an untrained and from a misled one.

Three runs on one store: one trained as usual, one that has made no update worth the name, and one trained on
clips whose actions are those of other clips. All are measured alike, by `assess_run`. An untrained run with
the residual head is copy-last-frame: every action leads it to the same latent. Runs that are there already
are used again.

    python tests/benchmarks/told_apart.py data/demo.zarr FOLDER --preset demo
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.train.foreign_actions import with_foreign_actions
from train.measures.assess_run import assess_run
from train.planning.search import Cem
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.trainer import train
from train.view import View

TRAINED = "trained"
OTHERS = ("untrained", "other clips' actions")
HIGHER_IS_BETTER = ("gripper_sign", "hit_at")
SAME_FOR_EVERY_RUN = ("idle", "chance", "encoded", "copy_last_frame_cent", "rotation", "seconds")

Intervals = dict[str, Mapping[str, float]]


def main() -> None:
    """Train what is not there, measure all three, print one table."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    recipe = recipe_for(options.preset, steps=options.steps)
    runs = {
        TRAINED: (recipe, View.of_store),
        OTHERS[0]: (_hardly_any(recipe), View.of_store),
        OTHERS[1]: (recipe, with_foreign_actions),
    }
    measured = {}
    for name, (of_run, view_of) in runs.items():
        path = options.folder / name.replace("'", "").replace(" ", "-")
        train(of_run, options.store, path, view_of=view_of)
        search = Cem(samples=options.samples, rounds=options.rounds)
        assessed = assess_run(path, options.store, search=search, num_starts=options.starts)["assessment"]
        measured[name] = dict(_intervals(assessed, ""))
        print(f"Measured {path}.", flush=True)
    _print_table(measured)


def _hardly_any(recipe: TrainRecipe) -> TrainRecipe:
    """One update, too small to move a float32."""
    return replace(
        recipe, steps=1, warmup_steps=0, decay_steps=0, lr_start=1e-12, lr_peak=1e-12, lr_end=1e-12
    )


def _intervals(values: Any, name: str) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Every interval in it that depends on the run, by its place."""
    if isinstance(values, Mapping) and "low" in values:
        yield name, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            if key != "one_frame_ahead_by" and not key.startswith(SAME_FOR_EVERY_RUN):
                yield from _intervals(value, f"{name} {key}".strip())
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from _intervals(value, f"{name} #{number}")


def _print_table(measured: dict[str, Intervals]) -> None:
    table = Table(title="Mean [95 % interval over trajectories]; #0 to #3: 1, 2, 4, 8 frames ahead")
    for column in ("", TRAINED, OTHERS[0], "apart", OTHERS[1], "apart"):
        table.add_column(column)
    for name, own in measured[TRAINED].items():
        cells = [_shown(own)]
        for other in OTHERS:
            theirs = measured[other][name]
            cells += [_shown(theirs), _verdict(name, own, theirs)]
        table.add_row(name, *cells)
    Console(width=190).print(table)


def _verdict(name: str, own: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Intervals that do not touch tell the runs apart; whether for the better is another question."""
    if own["low"] <= theirs["high"] and theirs["low"] <= own["high"]:
        return "no"
    higher = own["mean"] > theirs["mean"]
    return "yes" if higher == any(word in name for word in HIGHER_IS_BETTER) else "yes, worse"


def _shown(interval: Mapping[str, float]) -> str:
    return f"{interval['mean']:.3g} [{interval['low']:.3g}, {interval['high']:.3g}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("folder", type=Path, help="where the three runs are, or will be")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--steps", type=int, help="updates of the two runs that are trained")
    parser.add_argument("--starts", type=int, default=24, help="as of `permafrost evaluate`")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
