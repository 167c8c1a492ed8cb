"""Which measures of `permafrost evaluate` tell a trained run from an untrained and from a misled one.

Three runs on one store: one trained as usual, one that has made no update worth the name, and one trained on
clips whose actions are those of other clips. All are measured alike, by `assess_run`. An untrained run with
the residual head is copy-last-frame: every action leads it to the same latent. Runs that are there already
are used again. They are told apart by the interval of their difference on the same starts, over trajectories.
Without a store, one of drawn latents is made that show the whole state, gripper included: it tells a measure
that is blind from latents that do not show what it measures.

    python tests/benchmarks/told_apart.py FOLDER --store data/demo.zarr
    python tests/benchmarks/told_apart.py FOLDER
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from pipeline.assessment_table import shown_difference
from tests.train.foreign_actions import with_foreign_actions
from tests.train.moving_store import write_moving_store
from train.measures.assess_run import assess_run
from train.measures.intervals import Interval
from train.measures.measure_trees import SumsByName
from train.measures.trajectory_sums_file import MeasuredOn, read_trajectory_sums
from train.planning.search import Cem
from train.recipe import TrainRecipe
from train.recipe_defaults import recipe_for
from train.run_folder import RunFolder
from train.trainer import train
from train.view import View

TRAINED = "trained"
OTHERS = ("untrained", "other clips' actions")
HIGHER_IS_BETTER = ("gripper_sign", "hit_at")
SAME_FOR_EVERY_RUN = (
    "idle", "chance", "encoded", "copy_last_frame_cent", "rotation", "seconds", "one_frame_ahead_by"
)  # fmt: skip


def main() -> None:
    """Train what is not there, measure all three, print one table."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    store = options.store or _drawn_store(options.folder / "drawn.zarr")
    recipe = recipe_for(options.preset, steps=options.steps)
    runs = {
        TRAINED: (recipe, View.of_store),
        OTHERS[0]: (_hardly_any(recipe), View.of_store),
        OTHERS[1]: (recipe, with_foreign_actions),
    }
    sums = {}
    for name, (of_run, view_of) in runs.items():
        path = options.folder / name.replace("'", "").replace(" ", "-")
        train(of_run, store, path, view_of=view_of)
        sums[name] = _measured(path, store, options)
        print(f"Measured {path}.", flush=True)
    _print_table(sums)


def _hardly_any(recipe: TrainRecipe) -> TrainRecipe:
    """One update, too small to move a float32."""
    return replace(
        recipe, steps=1, warmup_steps=0, decay_steps=0, lr_start=1e-12, lr_peak=1e-12, lr_end=1e-12
    )


def _drawn_store(path: Path) -> Path:
    if not path.exists():
        write_moving_store(path, [(24, "train")] * 120 + [(48, "validation")] * 24)
    return path


def _measured(path: Path, store: Path, options: argparse.Namespace) -> SumsByName:
    search = Cem(samples=options.samples, rounds=options.rounds)
    evaluation = assess_run(path, store, search=search, num_starts=options.starts)
    found = read_trajectory_sums(RunFolder(path).trajectory_sums, MeasuredOn.of(evaluation))
    assert found is not None, "just written"
    return found


def _print_table(sums: Mapping[str, SumsByName]) -> None:
    table = Table(title="Mean [95 % interval over trajectories]; .../0 to 3: 1, 2, 4, 8 frames ahead")
    for column in ("", TRAINED, OTHERS[0], "- trained", "apart", OTHERS[1], "- trained", "apart"):
        table.add_column(column)
    for name, own in sums[TRAINED].items():
        if any(word in name for word in SAME_FOR_EVERY_RUN):
            continue
        cells = [_shown(own.interval())]
        for other in OTHERS:
            difference = sums[other][name].minus(own)
            assert difference is not None, "all are measured on the same starts"
            shown = shown_difference(difference.to_json())
            cells += [_shown(sums[other][name].interval()), shown, _verdict(name, difference)]
        table.add_row(name, *cells)
    Console(width=220).print(table)


def _verdict(name: str, difference: Interval) -> str:
    """An interval on one side of 0 tells the runs apart; whether for the better is another question."""
    if difference.low <= 0.0 <= difference.high:
        return "no"
    trained_is_higher = difference.mean < 0.0
    return "yes" if trained_is_higher == any(word in name for word in HIGHER_IS_BETTER) else "yes, worse"


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the three runs are, or will be")
    parser.add_argument("--store", type=Path, help="left out: one of drawn latents, made in the folder")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--steps", type=int, help="updates of the two runs that are trained")
    parser.add_argument("--starts", type=int, default=24, help="as of `permafrost evaluate`")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
