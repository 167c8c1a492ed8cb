"""Fuzz over the source: thousands of damaged episodes, each stored as it should be or rejected with a reason.

    python tests/sweeps/fuzz_source.py --count 2000 --seed 0
    python tests/sweeps/fuzz_source.py --seed 0 --only 1234      one case of the same sweep again

Every case goes the product's own way, many episodes at a time: index, plan, calibrate, encode, finalise; one
in six is damaged between plan and encode. Case k depends on the seed and on k alone.

A stored episode must hold the states and actions of the undamaged one. Damage inside trajectory.h5 may change
the states themselves, and HDF5 keeps no checksum that would tell: they must then be what h5py reads there.
"""

import argparse
import multiprocessing
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from featurize.calibrate import calibrate
from featurize.encode import encode
from featurize.encoders import encoder_of
from featurize.finalise import finalise
from featurize.index import index
from featurize.plan import plan
from featurize.recipe import Build, FeaturizeRecipe
from featurize.rejects import RejectReason
from store_schema.actions import actions_from_states
from store_schema.layout import open_array
from store_schema.store import Store
from store_schema.tables import Trajectory
from tests.featurize.droid_files import DroidFolder, write_episode, write_video
from tests.sweeps.damaged_bytes import Damage
from tests.sweeps.damaged_h5 import GRIPPER_KEY, H5_DAMAGES, POSE_KEY
from tests.sweeps.damaged_metadata import JSON_DAMAGES
from tests.sweeps.damaged_paths import PATH_DAMAGES, crowded
from tests.sweeps.damaged_video import MP4_DAMAGES

DAMAGES: Final = (*H5_DAMAGES, *MP4_DAMAGES, *JSON_DAMAGES, *PATH_DAMAGES)
TEMPLATES: Final = ("plain", "packed", "other")
BATCH_CASES: Final = 400
BATCH_LIMIT_SECONDS: Final = 900
READ_TIMEOUT_SECONDS: Final = 30
SHARE_AFTER_PLAN: Final = 1 / 6
LONGEST_DETAIL: Final = 2000
CASE_PATTERN: Final = re.compile(r"FUZZ\+(\d+)|case-(\d+)")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What all cases share. crowd: entries of the folders of the first cases, which are crowded."""

    seed: int
    crowd: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """One damaged episode."""

    number: int
    sweep: Sweep

    @property
    def damage(self) -> Damage:
        crowds = [crowded(place, self.sweep.crowd) for place in (".", "recordings/MP4", "..")]
        return crowds[self.number] if self.number < len(crowds) else DAMAGES[self.number % len(DAMAGES)]

    @property
    def template(self) -> str:
        return str(self._rng("template").choice(TEMPLATES))

    @property
    def after_plan(self) -> bool:
        return bool(self._rng("stage").random() < SHARE_AFTER_PLAN)

    def _rng(self, use: str) -> np.random.Generator:
        return np.random.default_rng([self.sweep.seed, self.number, len(use)])

    def write(self, source: Path) -> DroidFolder:
        """A copy of the template that names this case."""
        folder = DroidFolder(source / f"case-{self.number:06}")
        shutil.copytree(source / f"clean-{self.template}", folder.path)
        folder.metadata.rename(folder.path / f"metadata_FUZZ+{self.number:06}.json")
        return folder

    def do(self, source: Path) -> None:
        """Damage it."""
        self.damage(DroidFolder(source / f"case-{self.number:06}"), self._rng("damage"))

    def __str__(self) -> str:
        when = "after plan" if self.after_plan else "before index"
        return f"case {self.number} ({self.damage.__name__}, {self.template}, {when})"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """verdict: stored, other values, rejected or failed. reason: of the reject. detail: what was seen."""

    case: int
    verdict: str
    reason: str = ""
    detail: str = ""


def write_templates(source: Path) -> None:
    """Undamaged episodes: as DROID writes them; compressed, with B frames; another codec and HDF5 format."""
    folders = [write_episode(source / f"clean-{name}", uuid=f"CLEAN+{name}") for name in TEMPLATES]
    _, packed, other = folders
    _rewrite_rows(packed, "earliest", compression="gzip", shuffle=True, fletcher32=True)
    write_video(
        packed.video, options={"x264-params": "keyint=15:min-keyint=15:scenecut=0:bframes=2:b-adapt=0"}
    )
    _rewrite_rows(other, "latest")
    write_video(other.video, codec="mpeg4", options={"g": "12", "q": "3"})
    for folder in folders:
        for path in folder.video.parent.glob("*.mp4"):
            if path != folder.video:
                path.unlink()


def _rewrite_rows(folder: DroidFolder, libver: str, **options: object) -> None:
    with h5py.File(folder.rows) as old, h5py.File(folder.path / "new.h5", "w", libver=libver) as new:

        def copy(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                chunks = (16, *item.shape[1:]) if options else None
                new.create_dataset(name, data=item[()], chunks=chunks, **options)

        old.visititems(copy)
        new.attrs["robot"] = "arm"
    (folder.path / "new.h5").replace(folder.rows)


def run_batch(cases: Sequence[Case], folder: Path) -> list[Outcome]:
    """Build one store of all these cases; what became of each. Raises where the build itself ends."""
    source = folder / "source"
    write_templates(source)
    rows = {name: _states(source / f"clean-{name}/trajectory.h5") for name in TEMPLATES}
    for case in cases:
        case.write(source)
        if not case.after_plan:
            case.do(source)
    build = Build(
        recipe=FeaturizeRecipe(),
        store=folder / "store.zarr",
        source_root=source,
        max_rejects=1.0,
        read_timeout_seconds=READ_TIMEOUT_SECONDS,
    )
    index(build)
    plan(build, encoder_of(build))
    calibrate(build, encoder_of(build))
    for case in cases:
        if case.after_plan:
            case.do(source)
    encode(build, encoder_of(build))
    finalise(build)
    return _outcomes(cases, Store.open(build.store), source, rows)


def _states(path: Path) -> NDArray[np.float64]:
    """What h5py reads, float64 (rows, 7)."""
    with h5py.File(path) as file:
        pose, gripper = (np.asarray(file[key][()], dtype=np.float64) for key in (POSE_KEY, GRIPPER_KEY))
    return np.concatenate([pose, gripper[:, None]], axis=1)


def _outcomes(
    cases: Sequence[Case], store: Store, source: Path, rows: dict[str, NDArray[np.float64]]
) -> list[Outcome]:
    stored = {_case_of(t.episode_id): t for t in store.trajectories}
    rejected = {_case_of(f"{reject.episode_id} {reject.detail}"): reject for reject in store.rejects}
    outcomes = []
    for case in cases:
        if case.number in stored:
            outcomes.append(_judge_stored(case, store, stored[case.number], source, rows[case.template]))
        elif case.number in rejected:
            reject = rejected[case.number]
            outcomes.append(_judge_rejected(case, reject.reason, reject.detail))
        else:
            outcomes.append(_failed(case, "is neither stored nor rejected"))
    return outcomes


def _case_of(text: str) -> int | None:
    found = CASE_PATTERN.search(text)
    return int(found[1] or found[2]) if found else None


def _failed(case: Case, detail: str) -> Outcome:
    return Outcome(case=case.number, verdict="failed", detail=detail)


def _judge_rejected(case: Case, reason: str, detail: str) -> Outcome:
    if reason not in set(RejectReason) or not detail or len(detail) > LONGEST_DETAIL:
        return _failed(case, f"rejected as {reason!r} with {len(detail)} characters: {detail[:300]}")
    return Outcome(case=case.number, verdict="rejected", reason=reason, detail=detail)


def _judge_stored(
    case: Case, store: Store, trajectory: Trajectory, source: Path, rows: NDArray[np.float64]
) -> Outcome:
    frames = slice(trajectory.first_frame, trajectory.first_frame + trajectory.num_frames)
    arrays = ("states", "actions", "source_index", "timestamps_seconds", "extrinsics")
    states, actions, index_F, seconds, extrinsics = (open_array(store.path, name)[frames] for name in arrays)
    finite = (states, actions[:-1], seconds)
    if not all(np.isfinite(values).all() for values in finite) or np.isinf(extrinsics).any():
        return _failed(case, "stored values that are not finite")
    if _are_of(rows, index_F, states, actions):
        return Outcome(case=case.number, verdict="stored")
    paths = list(source.glob(f"case-{case.number:06}*/trajectory.h5"))
    if case.damage not in H5_DAMAGES or not _are_of(_states(paths[0]), index_F, states, actions):
        return _failed(case, "stored states or actions that are not those of the episode")
    return Outcome(case=case.number, verdict="other values")


def _are_of(
    rows: NDArray[np.float64],
    index_F: NDArray[np.int32],
    states: NDArray[np.float32],
    actions: NDArray[np.float32],
) -> bool:
    chosen = rows[index_F]
    same_actions = np.array_equal(actions, actions_from_states(chosen), equal_nan=True)
    return same_actions and np.array_equal(states, chosen.astype(np.float32))


def run_apart(cases: Sequence[Case]) -> list[Outcome]:
    """Run a batch in a process of its own; where that fails, its halves, down to the cases to blame."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        outcomes = _run_in_process(cases, folder)
    finally:
        remove_tree(folder)
    if isinstance(outcomes, list):
        return outcomes
    if len(cases) == 1:
        return [_failed(cases[0], outcomes)]
    print(f"{len(cases)} cases from {cases[0].number} on: {_last_line(outcomes)}", file=sys.stderr)
    half = len(cases) // 2
    return run_apart(cases[:half]) + run_apart(cases[half:])


def _last_line(fault: str) -> str:
    """The end of a traceback."""
    return fault.strip().splitlines()[-1]


def _run_in_process(cases: Sequence[Case], folder: Path) -> list[Outcome] | str:
    """The outcomes, or why there are none."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_batch, args=(cases, folder, sender))
    process.start()
    sender.close()
    try:
        hangs = not receiver.poll(BATCH_LIMIT_SECONDS)
        outcomes = f"hung for {BATCH_LIMIT_SECONDS} s" if hangs else receiver.recv()
    except EOFError:
        process.join()
        outcomes = f"the process died with exit code {process.exitcode}"
    process.kill()
    process.join()
    return outcomes  # type: ignore[no-any-return]


def _send_batch(cases: Sequence[Case], folder: Path, sender: "multiprocessing.connection.Connection") -> None:
    try:
        sender.send(run_batch(cases, folder))
    except Exception:  # noqa: BLE001 - whatever ends the build is a finding
        sender.send(traceback.format_exc())


def remove_tree(folder: Path) -> None:
    """shutil's own is recursive before Python 3.13, and some cases lie deeper than that goes."""
    subprocess.run(["rm", "-rf", "--", str(folder)], check=True)


def run_sweep(sweep: Sweep, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Outcomes, batch after batch."""
    cases = [Case(number=number, sweep=sweep) for number in numbers]
    for start in range(0, len(cases), BATCH_CASES):
        yield from run_apart(cases[start : start + BATCH_CASES])


def print_table(sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
    """Counts by verdict and reason, and every failure with what repeats it."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    print(f"cases {len(outcomes)}")
    print(f"stored, states and actions as in the undamaged episode {verdicts['stored']}")
    print(f"stored, states that the damaged h5 itself holds {verdicts['other values']}")
    print(f"rejected {verdicts['rejected']}")
    for reason, count in Counter(o.reason for o in outcomes if o.reason).most_common():
        print(f"  {reason} {count}")
    print(f"failures {verdicts['failed']}")
    for outcome in outcomes:
        if outcome.verdict == "failed":
            case = Case(number=outcome.case, sweep=sweep)
            print(f"--seed {sweep.seed} --only {case.number}: {case}: {outcome.detail}")


def main() -> None:
    """Run the sweep; exit code 1 where a case fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="number of cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone, and show its outcome")
    parser.add_argument("--crowd", type=int, default=100_000, help="entries of a crowded folder")
    options = parser.parse_args()
    sweep = Sweep(seed=options.seed, crowd=options.crowd)
    numbers = range(options.count) if options.only is None else [options.only]
    start = time.monotonic()
    outcomes = []
    for outcome in run_sweep(sweep, numbers):
        outcomes.append(outcome)
        if options.only is not None:
            print(outcome)
        elif len(outcomes) % BATCH_CASES == 0:
            print(
                f"{len(outcomes)} of {len(numbers)} cases, {time.monotonic() - start:.0f} s", file=sys.stderr
            )
    print_table(sweep, outcomes)
    sys.exit(any(outcome.verdict == "failed" for outcome in outcomes))


if __name__ == "__main__":
    main()
