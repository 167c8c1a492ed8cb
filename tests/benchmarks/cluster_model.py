"""What N workers, a GPU each, ask of everything they share: the arithmetic behind "Many machines, on paper".

    python tests/benchmarks/cluster_model.py --hours 62
    python tests/benchmarks/cluster_model.py --hours 350 --views 12 --slots-per-task 512

Counted by our own code: FLOPs and bytes of a frame, files of a slot. Given: the rest, as options; where their
defaults come from `--help` says. Nothing is measured here.
"""

import argparse
import math

from featurize.clock import FRAME_RATE_HZ
from featurize.encoder.registry import describe, encoder_spec
from featurize.estimate import DEFAULT_EPISODE_SECONDS, store_bytes, workload_of_hours
from featurize.gpus import find_gpu
from store_schema.format import LatentShape, Quantisation, array_specs

FSYNCS_PER_FILE = 2  # the file and its folder: store_schema/atomic.py


def main(arguments: argparse.Namespace) -> None:
    """Print a table: a row a demand, a column a number of workers."""
    rows = [demands(number, arguments) for number in arguments.workers]
    print(f"{'workers':48s}" + "".join(f"{number:>12,}" for number in arguments.workers))
    for name in rows[0]:
        print(f"{name:48s}" + "".join(f"{row[name]:>12.4g}" for row in rows))


def demands(num_workers: int, arguments: argparse.Namespace) -> dict[str, float]:
    """What is asked for in a second where every encoder is at work all the time."""
    spec, flops = encoder_spec(arguments.encoder), describe(arguments.encoder)["flops_per_frame"]
    workload = workload_of_hours(arguments.hours, num_views=arguments.views, num_cameras=1)
    shape = LatentShape(num_tokens=spec.num_tokens, width=spec.width)
    specs = array_specs(shape, Quantisation.INT8).values()
    frame_bytes = store_bytes(workload, shape, Quantisation.INT8) / workload.frames.value
    frames_per_slot = workload.frames.value / workload.slots.value
    worker_frames = find_gpu(arguments.gpu).peak_flops_per_second * arguments.utilisation / flops
    frames = num_workers * worker_frames
    slots = frames / frames_per_slot
    files_per_slot = 1 + sum(array.per_frame for array in specs)
    task_seconds = arguments.slots_per_task * frames_per_slot / worker_frames
    listing_seconds = arguments.listing_us * 1e-6 * workload.slots.value / 2
    return {
        "encode, frames/s": frames,
        "encode, s for the whole": workload.frames.value / frames,
        "decode, cores": frames * arguments.decode_ms / 1000,
        "source, MB/s": frames * arguments.source_kb / 1000,
        "store, MB/s": frames * frame_bytes / 1e6,
        "files made in a second, ledger rows included": slots * files_per_slot,
        "fsyncs in a second": slots * files_per_slot * FSYNCS_PER_FILE,
        "tasks in a second": slots / arguments.slots_per_task,
        "slots of a worker, if shared out evenly": workload.slots.value / num_workers,
        "listing the ledger once a task, share of it": listing_seconds / task_seconds,
        "filling the stages once a task, share of it": arguments.fill_seconds / task_seconds,
    }


if __name__ == "__main__":
    frames_of_an_episode = math.floor(DEFAULT_EPISODE_SECONDS * FRAME_RATE_HZ)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--encoder", default="vjepa2-vitg")
    parser.add_argument("--gpu", default="h200")
    parser.add_argument("--utilisation", type=float, default=0.6, help="of its peak; the aim, not measured")
    parser.add_argument("--hours", type=float, default=62)
    parser.add_argument("--views", type=int, default=1, help="trajectories of an episode, cameras included")
    parser.add_argument("--slots-per-task", type=int, default=8, help="a CPU gets 8, a GPU up to 256")
    parser.add_argument(
        "--decode-ms", type=float, default=9.0, help="CPU of a stored 1280x720 frame: featurize_overlap.py"
    )
    parser.add_argument(
        "--source-kb", type=float, default=57.0, help="video of a stored frame: size of the sample MP4s"
    )
    parser.add_argument(
        "--listing-us", type=float, default=1.8, help="CPU a ledger row: settled_slots over 20,000 rows"
    )
    parser.add_argument(
        "--fill-seconds",
        type=float,
        default=0.1 + frames_of_an_episode * 0.009,
        help="until the first slot is decoded, and to end the decoding children",
    )
    main(parser.parse_args())
