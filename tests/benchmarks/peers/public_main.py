"""`main` of app/vjepa_droid/train.py itself, from video files to its log."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from public_loop import (
    IMAGE_SIZE_PX,
    PATCH_SIZE_PX,
    TUBELET_FRAMES,
    PublicSettings,
    Sizes,
    encoder_sizes,
    their_encoder,
)

_MODEL_NAME = "permafrost_benchmark"


def run_their_main(
    paths_csv: Path,
    folder: Path,
    sizes: Sizes,
    settings: PublicSettings,
    device: torch.device,
    *,
    batch: int,
    frames: int,
    fps: float,
    steps: int,
    workers: int,
    between: Callable[[], None],
) -> list[float]:
    """`main` of app/vjepa_droid/train.py, from videos to its CSV: seconds of each of its iterations.

    All is theirs: decord, crops, DataLoader, DistributedDataParallel, meters and logs. Options are those of
    their file of settings but for sizes and what is asked for. On a machine without SLURM `main` does not
    start torch.distributed but needs it, so it is started here, with one process. `between` is called after
    each iteration, when its line is in the log and before the clock of the next one starts.
    """
    import app.vjepa_droid.train as public

    _make_sizes_known(public, sizes, settings)
    _give_turns(public, between)
    weights = their_encoder(sizes, settings).state_dict()
    torch.save({"epoch": 0, "encoder": weights, "target_encoder": weights}, folder / "theirs.pt")
    data = {
        "datasets": [str(paths_csv)],
        "dataset_fpcs": [frames],
        "batch_size": batch,
        "fps": fps,
        "num_workers": workers,
        "pin_mem": device.type == "cuda",
        "crop_size": IMAGE_SIZE_PX,
        "patch_size": PATCH_SIZE_PX,
        "tubelet_size": TUBELET_FRAMES,
    }
    with _one_process(folder, device):
        public.main(_their_options(folder, sizes, settings, data, steps))
    with (folder / "log_r0.csv").open() as lines:
        return [int(row["iter-time(ms)"]) / 1000 for row in csv.DictReader(lines)]


def _their_options(
    folder: Path, sizes: Sizes, settings: PublicSettings, data: dict[str, Any], steps: int
) -> dict[str, Any]:
    """configs/train/vitg16/droid-256px-8f.yaml, at other sizes and for `steps` updates."""
    return {
        "folder": str(folder),
        "data": data,
        "data_aug": {"random_resize_aspect_ratio": [0.75, 1.35], "random_resize_scale": [1.777, 1.777]},
        "loss": {"loss_exp": 1.0, "normalize_reps": True, "auto_steps": 2},
        "meta": {
            "dtype": "float32" if settings.precision is None else "bfloat16",
            "pretrain_checkpoint": str(folder / "theirs.pt"),
            "use_sdpa": True,
            "seed": 239,
        },
        "model": {
            "model_name": _MODEL_NAME,
            "compile_model": settings.compiled,
            "pred_depth": sizes.depth,
            "pred_embed_dim": sizes.width,
            "pred_num_heads": sizes.num_heads,
            "uniform_power": True,
            "use_activation_checkpointing": settings.checkpointing,
            "use_rope": True,
        },
        "optimization": {
            "ipe": steps,
            "epochs": 1,
            "warmup": 0,
            "anneal": 0,
            "lr": 4.25e-4,
            "start_lr": 7.5e-5,
            "final_lr": 0.0,
            "weight_decay": 0.04,
            "final_weight_decay": 0.04,
        },
    }


def _make_sizes_known(public: Any, sizes: Sizes, settings: PublicSettings) -> None:
    """`main` finds encoders by name in a module of theirs, and writes the mask's 512 frames itself."""
    import src.models.vision_transformer as encoders
    from app.vjepa_droid.utils import init_video_model

    def encoder(**options: Any) -> Any:
        return encoders.VisionTransformer(**encoder_sizes(sizes), **options)

    def build(**options: Any) -> Any:
        return init_video_model(**{**options, "max_num_frames": settings.mask_frames})

    setattr(encoders, _MODEL_NAME, encoder)
    public.init_video_model = build


def _give_turns(public: Any, between: Callable[[], None]) -> None:
    from src.utils.logging import CSVLogger

    class Logger(CSVLogger):
        def log(self, *values: Any) -> None:
            super().log(*values)
            between()

    public.CSVLogger = Logger


@contextmanager
def _one_process(folder: Path, device: torch.device) -> Iterator[None]:
    backend = "nccl" if device.type == "cuda" else "gloo"
    rendezvous = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group(backend, init_method=rendezvous, rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
