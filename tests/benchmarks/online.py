"""Training from a store against training with the frozen encoder in the loop: seconds an update, in one run.

    python tests/benchmarks/online.py
    python tests/benchmarks/online.py --encoder timm:vit_tiny_patch16_224 --batch-clips 2 --updates 3
    python tests/benchmarks/online.py --encoder vjepa2-vitg --preset vjepa2-ac --clip-frames 16 \
        --batch-clips 32 --device cuda --size 1280x720
    python tests/benchmarks/online.py --paper

Sample episodes are written and featurized once; then blocks of updates are timed in turns, on clips read from
the store and on the same clips decoded and encoded when they are drawn. Every block opens its stream anew and
leaves its first updates out, so that child processes are up and what was prepared ahead is used up. Weights
are drawn, all else is what `permafrost train` runs. Beside them the encoder alone, on the frames of an update
and in the same turns: what it does not explain of the difference is decoding that the update does not hide.

--paper prints the FLOPs of the published sizes, counted by `permafrost describe`: what the ratio is bound to
be where nothing waits and both networks reach the same share of the device's rate.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any


def main(arguments: argparse.Namespace) -> None:
    """Print a line a block and the ratios of the medians."""
    import torch

    from featurize.rates import random_encoder
    from store_schema.store import Store
    from train.recipe_defaults import recipe_for

    torch.set_num_threads(arguments.threads or torch.get_num_threads())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        build = small_build(Path(name), arguments)
        encoder = random_encoder(arguments.encoder, arguments.device)
        featurize(build, encoder)
        recipe = recipe_for(
            arguments.preset,
            steps=1000,
            batch_clips=arguments.batch_clips,
            micro_batch_clips=arguments.micro_batch_clips or arguments.batch_clips,
            clip_frames=arguments.clip_frames,
        )
        views = both_views(build, Store.open(build.store), encoder)
        steps = {kind: Updates(recipe, view, encoder.device) for kind, view in views.items()}
        seconds: dict[str, list[float]] = {kind: [] for kind in (*steps, "encoder")}
        for _ in range(arguments.rounds):
            for kind, updates in steps.items():
                took, waited = updates.timed(arguments.updates, arguments.leave_out)
                seconds[kind].append(took)
                print(
                    f"{kind}: {took:.4f} s an update, {waited / took:.1%} of it waiting for data", flush=True
                )
            seconds["encoder"].append(encoder_seconds(encoder, recipe))
    medians = {kind: statistics.median(took) for kind, took in seconds.items()}
    print(f"encoder alone: {medians['encoder']:.4f} s for the frames of an update")
    print(f"online / stored: {medians['online'] / medians['stored']:.2f}")
    print(f"(stored + encoder) / stored: {1 + medians['encoder'] / medians['stored']:.2f}")


class Updates:
    """Updates of one predictor on the clips of one view, as `train.loop` does them."""

    def __init__(self, recipe: Any, view: Any, device: Any) -> None:
        from train.assembly import drawn_clips, named_losses, predictor_config
        from train.optimiser import build_adamw
        from train.predictor import Predictor

        self.recipe, self.device, self.step = recipe, device, 0
        self.predictor = Predictor(predictor_config(recipe, view), seed=recipe.seed).to(device)
        self.optimiser = build_adamw(self.predictor, recipe.weight_decay)
        self.losses_of = named_losses(recipe, self.predictor, device)
        self.clips = drawn_clips(recipe, view)

    def timed(self, num_updates: int, leave_out: int) -> tuple[float, float]:
        """Seconds an update, and those of them spent waiting; `leave_out` updates come before."""
        with self.clips.stream(self.step) as stream:
            for number in range(leave_out + num_updates):
                if number == leave_out:
                    self.wait()
                    started, waited_before = time.perf_counter(), stream.waited_seconds
                self.update(stream)
            self.wait()
            took, waited = time.perf_counter() - started, stream.waited_seconds - waited_before
        return took / num_updates, waited / num_updates

    def update(self, stream: Any) -> None:
        """One update, read from the stream."""
        from train.share import share_of
        from train.update import update

        update(
            self.predictor,
            self.optimiser,
            self.losses_of,
            stream,
            micro_batches=share_of(self.recipe, num_processes=1).micro_batches,
            step=self.step,
            learning_rate=self.recipe.schedule.learning_rate(self.step),
        )
        self.step += 1

    def wait(self) -> None:
        """Until the device has done what it was given."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def small_build(folder: Path, arguments: argparse.Namespace) -> Any:
    """Sample episodes, and the build of a store from them."""
    from featurize.demo_data import write_demo_data
    from featurize.recipe import Build, FeaturizeRecipe

    width, height = map(int, arguments.size.split("x"))
    write_demo_data(
        folder / "source", num_episodes=arguments.episodes, seed=0, width_px=width, height_px=height
    )
    return Build(
        recipe=FeaturizeRecipe(encoder=arguments.encoder),
        store=folder / "features.zarr",
        source_root=folder / "source",
        device=arguments.device,
    )


def featurize(build: Any, encoder: Any) -> None:
    """All steps of the build."""
    from featurize.calibrate import calibrate
    from featurize.encode import encode
    from featurize.finalise import finalise
    from featurize.index import index
    from featurize.plan import plan

    index(build)
    plan(build, encoder)
    calibrate(build, encoder)
    encode(build, encoder)
    finalise(build)


def both_views(build: Any, store: Any, encoder: Any) -> dict[str, Any]:
    """The same trajectories, read and encoded on the fly."""
    from dataclasses import replace

    from pipeline.online.clips import OnlineClips
    from train.view import View

    stored = View.of_store(store, encoder.device)
    clips = OnlineClips(build, stored.trajectories, encoder)
    return {"stored": stored, "online": replace(stored, clips=clips, latents="online")}


def encoder_seconds(encoder: Any, recipe: Any) -> float:
    """The encoder alone on as many frames as an update has."""
    import torch

    size = encoder.spec.image_size_px
    frames_FCHW = torch.zeros(recipe.batch_clips * recipe.clip_frames, 3, size, size, device=encoder.device)
    batches = torch.split(frames_FCHW, 32)
    encoder.encode(batches[0]).sum().item()
    started = time.perf_counter()
    latents = [encoder.encode(batch_FCHW) for batch_FCHW in batches]
    latents[-1].sum().item()
    return time.perf_counter() - started


def on_paper() -> None:
    """FLOPs of one update of the published recipe, stored and online."""
    from featurize.encoder.describe import describe as describe_encoder
    from train.describe import describe as describe_predictor
    from train.presets import find_preset

    training = find_preset("vjepa2-ac").training
    frames = training.batch_clips * training.clip_frames
    encoder = describe_encoder("vjepa2-vitg")["flops_per_frame"] * frames
    predictor = describe_predictor("vjepa2-ac")["flops_per_step"]
    print(f"an update of vjepa2-ac: {training.batch_clips} clips x {training.clip_frames} frames")
    print(f"predictor: {predictor / 1e15:.2f} PFLOP")
    print(f"vjepa2-vitg on {frames} frames: {encoder / 1e15:.2f} PFLOP")
    print(f"online / stored: {1 + encoder / predictor:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paper", action="store_true", help="only count FLOPs of the published sizes")
    parser.add_argument("--encoder", default="vit-tiny-random")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--batch-clips", type=int, default=8)
    parser.add_argument("--micro-batch-clips", type=int, help="default: all of an update at once")
    parser.add_argument("--clip-frames", type=int, default=8)
    parser.add_argument("--updates", type=int, default=10, help="timed updates of a block")
    parser.add_argument("--leave-out", type=int, default=3, help="updates of a block before these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=12)
    parser.add_argument("--size", default="320x180", help="of the sample videos")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch on the CPU; default: all cores")
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's temporary folder")
    given = parser.parse_args()
    on_paper() if given.paper else main(given)
