"""The public planner (facebookresearch/vjepa2, `notebooks/utils`) against ours, on the same weights.

Theirs: `WorldModel.infer_next_action`, which calls `cem`, all samples at once, as published and without
gradients. Ours: `Planner` with `Cem`. Both do the same number of samples, rounds and steps, on the
same threads, in turn. First both give the energies of the same action samples. With `--history C` there are
C frames before the present one: their predictor runs over them again for every sample, as its interface has
it, ours keeps their keys and values.

    python tests/benchmarks/peers/planner.py --vjepa2 CLONE
    python tests/benchmarks/peers/planner.py --vjepa2 CLONE --size full --samples 16 --cem-rounds 1
    python tests/benchmarks/peers/planner.py --vjepa2 CLONE --device cuda --size full

On a GPU ours computes products in bfloat16, as it always does there; theirs in float32 as published, and in a
row of its own under the same autocast. On a CPU both are float32 everywhere.

Legend: S samples, H steps of the horizon, C earlier frames, N tokens per frame, D encoder width, A action
size.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from measuring import Row, alternate, faster, finish, wait_for
from public_loop import use_clone
from torch import Tensor
from torch.nn import functional as F

from train.device import autocast
from train.official import to_official
from train.planning.bounds import ActionBounds
from train.planning.history import History
from train.planning.planner import Planner
from train.planning.search import Cem
from train.predictor import Predictor, PredictorConfig

PATCH_SIZE_PX = 16
TUBELET_FRAMES = 2
BOUNDS = ActionBounds.published(1.0)
OURS, THEIRS, CAST = "ours", "theirs", "theirs, autocast"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the predictor, on both sides; a frame has grid x grid tokens."""

    grid: int
    encoder_width: int
    width: int
    depth: int
    num_heads: int


SIZES: Mapping[str, Sizes] = MappingProxyType({
    "small": Sizes(grid=8, encoder_width=384, width=192, depth=4, num_heads=3),
    "mid": Sizes(grid=16, encoder_width=384, width=384, depth=6, num_heads=6),
    "full": Sizes(grid=16, encoder_width=1408, width=1024, depth=24, num_heads=16),
})  # fmt: skip


class Sides:
    """Both planners on the same weights, in front of the same scene: noise, layer-normed."""

    def __init__(self, options: argparse.Namespace) -> None:
        sizes, self.device = SIZES[options.size], torch.device(options.device)
        self.options = options
        config = PredictorConfig(
            grid_height=sizes.grid,
            grid_width=sizes.grid,
            encoder_width=sizes.encoder_width,
            width=sizes.width,
            depth=sizes.depth,
            num_heads=sizes.num_heads,
            head="absolute",
        )
        self.predictor = Predictor(config).to(self.device).eval()
        self.theirs = _their_predictor(sizes, self.predictor).to(self.device).eval()
        generator = torch.Generator().manual_seed(1)
        frames = options.history + 2
        latents = torch.randn(frames, config.num_tokens, sizes.encoder_width, generator=generator)
        self.latents_CND = F.layer_norm(latents, latents.shape[-1:]).to(self.device)
        self.states_CA, self.actions_CA = 0.1 * torch.randn(2, frames, 7, generator=generator).to(self.device)

    def planner(self, horizon: int) -> Planner:
        """Ours."""
        options = self.options
        return Planner(
            predictor=self.predictor,
            device=self.device,
            bounds=BOUNDS,
            search=Cem(samples=options.samples, rounds=options.cem_rounds, elites=10),
            horizon=horizon,
            batch_samples=options.batch_samples,
        )

    @property
    def history(self) -> History | None:
        """All frames but the last two, which are the present one and the goal."""
        past = slice(0, self.options.history)
        return self.options.history and History(
            latents_CND=self.latents_CND[past],
            states_CA=self.states_CA[past],
            actions_CA=self.actions_CA[past],
        )

    def our_seconds(self, horizon: int) -> float:
        """A whole plan."""
        planner = self.planner(horizon)
        return self._seconds(lambda: planner.plan(*self._scene(), history=self.history or None))

    def their_seconds(self, horizon: int, *, cast: bool = False) -> float:
        """The same, theirs."""
        from utils.world_model_wrapper import WorldModel

        latent_ND, state_A, goal_ND = self._scene()
        world = WorldModel(
            encoder=None,
            predictor=self.their_predict,
            tokens_per_frame=len(latent_ND),
            transform=None,
            mpc_args={
                "rollout": horizon,
                "samples": self.options.samples,
                "topk": 10,
                "cem_steps": self.options.cem_rounds,
                "maxnorm": BOUNDS.xyz_metres,
            },
            device=self.device,
        )

        def run() -> None:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=cast):
                world.infer_next_action(latent_ND[None, None], state_A[None, None], goal_ND[None, None])

        return self._seconds(run)

    def their_predict(self, latents_SXD: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        """Their predictor over the history and what follows it; X tokens of all frames."""
        past = slice(0, self.options.history)
        before = self.latents_CND[past].flatten(0, 1), self.actions_CA[past], self.states_CA[past]
        inputs = (
            torch.cat([earlier[None].expand(len(later), -1, -1), later], dim=1)
            for earlier, later in zip(before, (latents_SXD, actions, states), strict=True)
        )
        predicted: Tensor = self.theirs(*(inputs if self.options.history else (latents_SXD, actions, states)))
        return predicted

    def energy_difference(self, horizon: int) -> float:
        """Largest relative difference of both sides' energies of the same 16 samples."""
        noise_SHA = torch.randn(16, horizon, 7, generator=torch.Generator().manual_seed(2)).to(self.device)
        actions_SHA = BOUNDS.clip(0.05 * noise_SHA)
        planner, (latent_ND, state_A, goal_ND) = self.planner(horizon), self._scene()
        more = {"prefix": planner.remember(self.history)} if self.history else {}
        ours_S = planner.energies(latent_ND, state_A, goal_ND, actions_SHA, **more)
        with torch.inference_mode(), autocast(self.device):
            theirs_S = self._their_energies(latent_ND, state_A, goal_ND, actions_SHA)
        return float(((ours_S - theirs_S) / theirs_S).abs().max())

    def _their_energies(
        self, latent_ND: Tensor, state_A: Tensor, goal_ND: Tensor, actions_SHA: Tensor
    ) -> Tensor:
        """As `cem` and its world model compute them."""
        from utils.mpc_utils import compute_new_pose, l1

        samples, horizon = actions_SHA.shape[:2]
        frames, states = latent_ND.repeat(samples, 1, 1), state_A.repeat(samples, 1, 1)
        for step in range(1, horizon + 1):
            output = self.their_predict(frames, actions_SHA[:, :step], states)[:, -len(latent_ND) :]
            frames = torch.cat([frames, F.layer_norm(output, output.shape[-1:])], dim=1)
            state = compute_new_pose(states[:, -1:], actions_SHA[:, step - 1 : step])
            states = torch.cat([states, state], dim=1)
        final_SX = frames[:, -len(latent_ND) :].float().flatten(1)
        return l1(final_SX, goal_ND.repeat(samples, 1, 1).flatten(1))

    def _scene(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.latents_CND[-2], self.states_CA[-2], self.latents_CND[-1]

    def _seconds(self, run: Callable[[], Any]) -> float:
        wait_for(self.device)
        started = time.perf_counter()
        run()
        wait_for(self.device)
        return time.perf_counter() - started

    def product_seconds(self, horizon: int) -> float:
        """What the products of ours would take at the rate of this device's fastest large one."""
        config, options = self.predictor.config, self.options
        tokens, width = config.tokens_per_step, config.width
        flops = 0.0
        for frame in range(options.history + 1, options.history + horizon + 1):
            block = 24 * width * width + 4 * frame * tokens * width
            flops += tokens * config.depth * block + 4 * config.num_tokens * config.encoder_width * width
        return flops * options.samples * options.cem_rounds / self.product_rate

    product_rate = 0.0

    def measure_product(self) -> float:
        """FLOP/s of the fastest of three products: PyTorch's own, oneDNN's, and under autocast on a GPU."""
        size = 2048
        with torch.inference_mode(), autocast(self.device):
            left, right = torch.randn(2, size, size, device=self.device).unbind(0)
            kernels: list[Callable[[], Tensor]] = [lambda: left @ right]
            if self.device.type == "cpu" and torch._C._has_mkldnn:
                bias = torch.zeros(size)
                kernels.append(lambda: torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], ""))
            seconds = min(self._seconds(kernel) for kernel in kernels for _ in range(4))
        self.product_rate = max(self.product_rate, 2 * size**3 / seconds)
        return seconds


def main() -> None:
    """A row for every horizon asked for."""
    options = _arguments()
    use_clone(options.vjepa2)
    sys.path.insert(0, str(options.vjepa2 / "notebooks"))
    logging.disable(logging.INFO)
    torch.set_num_threads(options.threads)
    sides, rows, facts = Sides(options), [], {}
    for horizon in options.horizons:
        facts[f"largest relative difference of energies, horizon {horizon}"] = (
            f"{sides.energy_difference(horizon):.1e}"
        )
        rows += _rows(sides, horizon, facts)
    finish("An action planned", rows, _facts(options) | facts, options.json)


def _rows(sides: Sides, horizon: int, facts: dict[str, object]) -> list[Row]:
    measures = {
        OURS: lambda: sides.our_seconds(horizon),
        THEIRS: lambda: sides.their_seconds(horizon),
        "product": sides.measure_product,
    }
    if sides.device.type == "cuda":
        measures[CAST] = lambda: sides.their_seconds(horizon, cast=True)
    taken = alternate(measures, rounds=sides.options.rounds, warm_up=sides.options.warm_up)
    ideal = sides.product_seconds(horizon)
    for name in (OURS, THEIRS):
        facts[f"{name}, horizon {horizon}: share of time that our products take at the fastest rate"] = (
            f"{ideal / min(taken[name]):.2f}"
        )
    what = f"horizon {horizon}, {sides.options.history} earlier frames"
    return [
        faster(what if peer == THEIRS else f"{what}, {peer}", taken[OURS], taken[peer])
        for peer in (THEIRS, CAST)
        if peer in taken
    ]


def _their_predictor(sizes: Sizes, ours: Predictor) -> torch.nn.Module:
    from src.models.ac_predictor import vit_ac_predictor

    theirs = vit_ac_predictor(
        img_size=sizes.grid * PATCH_SIZE_PX,
        patch_size=PATCH_SIZE_PX,
        num_frames=16,
        tubelet_size=TUBELET_FRAMES,
        embed_dim=sizes.encoder_width,
        predictor_embed_dim=sizes.width,
        depth=sizes.depth,
        num_heads=sizes.num_heads,
        uniform_power=True,
        use_rope=True,
    )
    official = to_official(ours.state_dict())
    theirs.load_state_dict({name.removeprefix("module."): value for name, value in official.items()})
    return theirs


def _facts(options: argparse.Namespace) -> dict[str, object]:
    on_gpu = options.device.startswith("cuda")
    return {
        "sizes": SIZES[options.size],
        "samples x rounds": f"{options.samples} x {options.cem_rounds}",
        "device": torch.cuda.get_device_name() if on_gpu else f"{os.cpu_count()} CPU cores",
        "precision": "ours bfloat16 products, theirs float32" if on_gpu else "float32, both",
        "torch": torch.__version__,
        "threads": options.threads,
        "plans of each side": options.rounds,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vjepa2", type=Path, required=True, help="a clone of facebookresearch/vjepa2")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--history", type=int, default=0, help="frames before the present one")
    parser.add_argument("--samples", type=int, default=800, help="of a round; the paper's 800")
    parser.add_argument("--cem-rounds", type=int, default=10, help="of a plan; the paper's 10")
    parser.add_argument("--batch-samples", type=int, help="ours: predicted at once")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3, help="plans of each side")
    parser.add_argument("--warm-up", type=int, default=0, help="plans that are not counted")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch, for both sides")
    parser.add_argument("--json", type=Path, help="write the table here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
