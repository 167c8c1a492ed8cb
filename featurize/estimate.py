"""What a build and the training after it will take: figures, each with the formula it comes from.

Nothing is read and nothing is measured here: `survey` looks at a source, `rates` at a machine.
"""

import math
from dataclasses import dataclass
from typing import Final

from featurize.clock import FRAME_RATE_HZ
from featurize.gpus import Gpu
from store_schema.array_readers import INDEX_BYTES
from store_schema.format import SLOT_FRAMES, ArraySpec, LatentShape, Quantisation, array_specs

SECONDS_PER_HOUR: Final = 3600
DROID_RATE_HZ: Final = 15
DEFAULT_EPISODE_SECONDS: Final = 9.7
"""62 h in 23,000 trajectories: what V-JEPA 2-AC was trained on (arXiv 2506.09985)."""
LARGE_ARRAYS: Final = ("latents", "token_scale", "thumbnails")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number. name: its key for programs; what: the same for people; formula: where it comes from."""

    name: str
    what: str
    value: float
    unit: str
    formula: str


@dataclass(frozen=True, kw_only=True)
class Workload:
    """How much there is to store, and how many video frames `index` decodes for it."""

    trajectories: Figure
    frames: Figure
    slots: Figure
    video_frames: Figure

    @property
    def figures(self) -> list[Figure]:
        """All of them, in the order to be shown in."""
        return [self.trajectories, self.frames, self.slots, self.video_frames]


@dataclass(frozen=True, kw_only=True)
class Compute:
    """GPUs, and the share of their peak that is assumed to be reached."""

    gpu: Gpu
    num_gpus: int
    utilisation: float

    @property
    def flops_per_second(self) -> float:
        """What all of them do together."""
        return self.num_gpus * self.gpu.peak_flops_per_second * self.utilisation

    def __str__(self) -> str:
        tflops_per_second = self.gpu.peak_flops_per_second / 1e12
        return f"({self.num_gpus} {self.gpu.name} x {tflops_per_second:,.0f} TFLOP/s x {self.utilisation:g})"


def workload_of_hours(
    hours: float, *, num_views: int, num_cameras: int, episode_seconds: float = DEFAULT_EPISODE_SECONDS
) -> Workload:
    """What `hours` of DROID come to where all episodes last `episode_seconds`."""
    seconds, times = hours * SECONDS_PER_HOUR, num_views * num_cameras
    num_trajectories = math.ceil(seconds / episode_seconds) * times
    views = f"{counted(num_views, 'view')} x {counted(num_cameras, 'camera')}"
    each = FRAME_RATE_HZ * episode_seconds
    return Workload(
        trajectories=Figure(name="trajectories", what="trajectories", value=num_trajectories, unit="",
                            formula=f"{hours:g} h / {episode_seconds:g} s an episode x {views}"),
        frames=Figure(name="frames", what="frames to store", value=round(seconds * FRAME_RATE_HZ) * times,
                      unit="", formula=f"{hours:g} h x 3,600 s x {FRAME_RATE_HZ:g} Hz x {views}"),
        slots=Figure(name="slots", what="slots", value=num_trajectories * math.ceil(each / SLOT_FRAMES),
                     unit="", formula=f"trajectories x ceil({each:.3g} frames / {SLOT_FRAMES} a slot)"),
        video_frames=Figure(name="video_frames", what="video frames to index", unit="",
                            value=round(seconds * DROID_RATE_HZ) * num_cameras,
                            formula=f"{hours:g} h x 3,600 s x {DROID_RATE_HZ} Hz x "
                                    f"{counted(num_cameras, 'camera')}"),
    )  # fmt: skip


def array_bytes(spec: ArraySpec, workload: Workload) -> float:
    """Size of an array's files by format 1, thumbnails before their compression.

    Sharded arrays hold the frames there are and an index of 2,052 bytes a slot; plain ones hold 128 entries a
    slot, used or not.
    """
    if not spec.per_frame:
        return spec.item_bytes
    if spec.sharded:
        return workload.frames.value * spec.item_bytes + workload.slots.value * INDEX_BYTES
    return workload.slots.value * SLOT_FRAMES * spec.item_bytes


def store_bytes(workload: Workload, latent_shape: LatentShape, quantisation: Quantisation) -> float:
    """Size of all array files; tables and metadata, some 3 kB a slot, are left out."""
    specs = array_specs(latent_shape, quantisation).values()
    return sum(array_bytes(spec, workload) for spec in specs)


def store_figures(workload: Workload, latent_shape: LatentShape, quantisation: Quantisation) -> list[Figure]:
    """Bytes of the arrays and of the whole, in this quantisation and in the other."""
    specs = array_specs(latent_shape, quantisation)
    large = [_array_figure(specs[name], workload) for name in LARGE_ARRAYS if name in specs]
    rest = [spec for spec in specs.values() if spec.name not in LARGE_ARRAYS]
    rest_bytes = sum(array_bytes(spec, workload) for spec in rest)
    rest_item_bytes = sum(spec.item_bytes for spec in rest if spec.per_frame)
    files_per_slot = sum(spec.per_frame for spec in specs.values())
    return [
        *large,
        Figure(name="rows_bytes", what="all other arrays", value=rest_bytes, unit="bytes",
               formula=f"slots x {SLOT_FRAMES} x {rest_item_bytes} bytes, and channel statistics"),
        *[_total_figure(workload, latent_shape, each) for each in Quantisation],
        Figure(name="files", what="files", value=workload.slots.value * files_per_slot, unit="",
               formula=f"slots x {files_per_slot} arrays"),
    ]  # fmt: skip


def encoder_figures(workload: Workload, name: str, flops_per_frame: float, compute: Compute) -> list[Figure]:
    """What encoding every stored frame once costs. flops_per_frame: of `featurize.encoder.describe`."""
    flops = workload.frames.value * flops_per_frame
    return [
        Figure(name="flops_per_frame", what="encoder, one frame", value=flops_per_frame, unit="FLOP",
               formula=f"`permafrost describe {name}`"),
        Figure(name="encoder_flops", what="encoder, all frames", value=flops, unit="FLOP",
               formula="frames to store x encoder, one frame"),
        Figure(name="encode_once_hours", what="time to encode once", unit="hours",
               value=flops / compute.flops_per_second / SECONDS_PER_HOUR,
               formula=f"encoder, all frames / {compute}"),
    ]  # fmt: skip


def counted(number: int, noun: str) -> str:
    """'1 view', '4 views'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _array_figure(spec: ArraySpec, workload: Workload) -> Figure:
    if spec.sharded:
        formula = f"frames x {spec.item_bytes:,} bytes + slots x {INDEX_BYTES:,} bytes"
    else:
        formula = f"slots x {SLOT_FRAMES} x {spec.item_bytes:,} bytes"
    before_zstd = ", before zstd" if spec.zstd_level is not None else ""
    return Figure(
        name=f"{spec.name}_bytes",
        what=f"{spec.name.replace('_', ' ')}{before_zstd}",
        value=array_bytes(spec, workload),
        unit="bytes",
        formula=formula,
    )


def _total_figure(workload: Workload, latent_shape: LatentShape, quantisation: Quantisation) -> Figure:
    return Figure(
        name=f"store_{quantisation}_bytes",
        what=f"store in {quantisation}",
        value=store_bytes(workload, latent_shape, quantisation),
        unit="bytes",
        formula="sum over all arrays, without tables",
    )
