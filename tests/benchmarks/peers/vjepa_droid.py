"""The public V-JEPA 2-AC loop (facebookresearch/vjepa2) against training from a store of its latents.

Both sides start from the same encoder and predictor weights and see the same clips at the same learning
rates. Ours reads stored int8 latents; theirs encodes frames that lie decoded in memory, in its favour.
Three updates are timed in turn, in one process: ours, theirs, and theirs without its encoder (fed with our
stored latents). Their losses are the curves. With `--videos` a row is added: their whole script, loader and
all, with an update of ours after each of its own.

    python tests/benchmarks/peers/vjepa_droid.py --vjepa2 CLONE
    permafrost demo-data VIDEOS --episodes 12 --size 1280x720
    python tests/benchmarks/peers/vjepa_droid.py --vjepa2 CLONE --videos VIDEOS
    python tests/benchmarks/peers/vjepa_droid.py --vjepa2 CLONE --device cuda --size full --batch 4

Legend: B clips, C colours, T frames, H and W pixels, N tokens per frame, D encoder width, A action size.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from comparison import HALF, OURS, THEIRS, Comparison
from measuring import finish
from public_loop import PUBLISHED_MASK_FRAMES, SIZES, use_clone


def main() -> None:
    """Measure every clip length asked for; print its curves when they are there, and one table at the end."""
    options = _arguments()
    use_clone(options.vjepa2)
    torch.set_num_threads(options.threads)
    rows, facts = [], _facts(options)
    for frames in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            comparison = Comparison.prepare(options, frames, Path(folder))
            rows += comparison.rows()
            _print_curves(frames, comparison.losses)
            facts |= comparison.differences()
            if options.videos is not None:
                rows.append(comparison.their_main_row(Path(folder)))
    finish("Updates of the predictor", rows, facts, options.json)


def _facts(options: argparse.Namespace) -> dict[str, object]:
    name = (
        torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{os.cpu_count()} CPU cores"
    )
    return {
        "sizes": SIZES[options.size],
        "device": name,
        "torch": torch.__version__,
        "threads": options.threads,
        "precision": "bfloat16" if options.device.startswith("cuda") else "float32",
        "their activation checkpointing": options.checkpointing,
        "their mask": f"{PUBLISHED_MASK_FRAMES} frames" if options.published_mask else "of the clip's length",
        "updates": options.rounds,
    }


def _print_curves(frames: int, losses: dict[str, list[float]]) -> None:
    print(f"\nLosses, {frames} frames\n  update  ours      theirs    theirs from our stored latents")
    for step, line in enumerate(zip(losses[OURS], losses[THEIRS], losses[HALF], strict=True)):
        print(f"  {step:6d}  " + "  ".join(f"{loss:.6f}" for loss in line), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vjepa2", type=Path, required=True, help="a clone of facebookresearch/vjepa2")
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16], help="clip lengths")
    parser.add_argument("--batch", type=int, default=2, help="clips of an update")
    parser.add_argument("--rounds", type=int, default=30, help="updates of each side")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch, for both sides")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--size", choices=list(SIZES), default="small", help="full: ViT-g, 24 x 1024 predictor"
    )
    parser.add_argument(
        "--checkpointing", action="store_true", help="theirs as published, slower; off is faster"
    )
    parser.add_argument("--published-mask", action="store_true", help="their mask of 512 frames (4.4 GB)")
    parser.add_argument("--their-compile", action="store_true", help="their option compile_model")
    parser.add_argument("--videos", type=Path, help="DROID folders: adds a row with their whole script")
    parser.add_argument("--workers", type=int, default=2, help="processes of their loader")
    parser.add_argument("--json", type=Path, help="write the table here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
