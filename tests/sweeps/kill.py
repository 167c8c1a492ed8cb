"""Kill sweep: SIGKILL at random moments of every stage, then the same command again.

    python tests/sweeps/kill.py --library 90 --prefect 10 --seed 0

Each kill hits a real process at work on a copy of the state before its stage: the first build of a store
(index, plan, calibrate, encode, finalise), an append to a sealed one (the same steps), a training run, and
the `permafrost featurize` command with its Prefect server and Dask workers. A kill that comes after the
process has ended does not count and is drawn again.

After each: the store opens, no settled slot is torn, a checkpoint loads, and the same call ends in the same
store by digest or in the same weights, bit for bit.
"""

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run the sweep and print one table; exit code 1 where anything was wrong."""
    # Here, not above: every process that the product starts imports this file again.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.sweeps.kill_rounds import sweep

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--library", type=int, default=90, help="kills of library calls and training")
    parser.add_argument("--prefect", type=int, default=10, help="kills of the permafrost command")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = sweep(Path(folder), num_library=chosen.library, num_prefect=chosen.prefect, seed=chosen.seed)
    for stage, kills in tally.kills.items():
        print(f"{stage:<18} {kills:>4} kills")
    print(
        f"{'in all':<18} {tally.kills.total():>4} kills, {tally.too_late} came too late and were drawn again"
    )
    print(f"{'wrong after one':<18} {len(tally.found):>4}", *tally.found, sep="\n")
    sys.exit(1 if tally.found else 0)


if __name__ == "__main__":
    main()
