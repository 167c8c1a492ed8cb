"""A whole sample data set: episodes written side by side by worker processes, then shown under their name."""

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2

from featurize.demo_data.episode_folder import write_episode
from featurize.sources.credit import ATTRIBUTION_FILE, LICENCE_FILE

_SMALLEST_IMAGE_PX = 64


class DemoDataError(ValueError):
    """The sample data cannot be written as asked."""


def write_demo_data(
    out: Path,
    *,
    num_episodes: int,
    seed: int,
    width_px: int = 320,
    height_px: int = 180,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write synthetic episodes of a robot arm at a table in DROID's raw format.

    An episode is a function of `seed` and its number alone: neither `workers` nor `num_episodes` changes it.
    The data appear at `out` when all of them are written; until then they lie beside it in `.NAME.partial`,
    and what a killed run left there is replaced by the next. Workers are started by spawn: a script that
    calls this guards its main part with `if __name__ == "__main__"`.

    Args:
        out: folder to write, not there yet or empty.
        num_episodes: how many episodes, at least 1.
        seed: 0 or more.
        width_px: width of the videos, even, at least 64.
        height_px: height of the videos, even, at least 64.
        workers: processes; None for one for each processor, 1 for none but this one.
        progress: told the number of episodes written and of all, after each.

    Returns:
        The episodes' folders, in order of their numbers.

    Raises:
        DemoDataError: an argument is out of range, or there is something at `out`.
    """
    out = Path(out)
    processes = (os.cpu_count() or 1) if workers is None else workers
    _check_arguments(num_episodes, seed, width_px, height_px, processes)
    _check_free(out)
    partial_out = out.with_name(f".{out.name}.partial")
    if partial_out.exists():
        shutil.rmtree(partial_out)
    write = partial(_write_numbered, partial_out, seed=seed, width_px=width_px, height_px=height_px)
    folders: dict[int, Path] = {}
    for episode, folder in _each(write, num_episodes, min(processes, num_episodes)):
        folders[episode] = folder
        if progress is not None:
            progress(len(folders), num_episodes)
    (partial_out / ATTRIBUTION_FILE).write_text(
        "Sample episodes drawn by `permafrost demo-data`; nobody to credit.\n"
    )
    (partial_out / LICENCE_FILE).write_text(
        "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/legalcode\n"
    )
    partial_out.rename(out)
    return [out / folders[episode] for episode in range(num_episodes)]


def _each(
    write: Callable[[int], tuple[int, Path]], num_episodes: int, processes: int
) -> Iterator[tuple[int, Path]]:
    if processes == 1:
        yield from map(write, range(num_episodes))
        return
    # Spawned, not forked: libraries with threads of their own do not survive a fork.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        for done in as_completed([pool.submit(write, episode) for episode in range(num_episodes)]):
            yield done.result()


def _start_worker() -> None:
    """Keep OpenCV to the one processor that a worker has."""
    cv2.setNumThreads(1)


def _write_numbered(
    root: Path, episode: int, *, seed: int, width_px: int, height_px: int
) -> tuple[int, Path]:
    return episode, write_episode(root, seed=seed, episode=episode, width_px=width_px, height_px=height_px)


def _check_arguments(num_episodes: int, seed: int, width_px: int, height_px: int, processes: int) -> None:
    if num_episodes < 1:
        raise DemoDataError(f"Number of episodes is {num_episodes}, expected at least 1.")
    if seed < 0:
        raise DemoDataError(f"Seed is {seed}, expected 0 or more.")
    if processes < 1:
        raise DemoDataError(f"Number of workers is {processes}, expected at least 1.")
    for name, size_px in (("width", width_px), ("height", height_px)):
        if size_px < _SMALLEST_IMAGE_PX or size_px % 2:
            raise DemoDataError(
                f"Image {name} is {size_px} pixels, expected an even number of at least {_SMALLEST_IMAGE_PX}."
            )


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DemoDataError(
            f"{out} is there and not an empty folder; expected a new one. Delete it or choose another."
        )
