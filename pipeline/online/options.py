"""What is asked of `train --online`, and what the run then sees."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.store_place import require_on_disk
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from pipeline.online.source import ViewOf


@dataclass(frozen=True, kw_only=True)
class OnlineOptions:
    """As given. Raises OptionError for some without the others."""

    online: bool = False
    source: Path | None = None
    encoder: str | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        given = {"--source": self.source, "--encoder": self.encoder, "--weights": self.weights}
        useless = [name for name, value in given.items() if value is not None]
        if useless and not self.online:
            raise OptionError(f"{', '.join(useless)}: only with --online; a store brings latents with it.")
        if self.online and self.source is None:
            raise OptionError("--online encodes from the source: give the folder of episodes with --source.")

    def view_of(self, store: Path, *, preset: str, device: str | None) -> "ViewOf":
        """What `train.trainer.train` takes; plans the store where it is not planned yet."""
        from train.view import View

        if self.source is None:
            return View.of_store
        require_on_disk(store, "--online")
        from pipeline.online.source import OnlineSource
        from pipeline.progress_bar import progress_bar
        from train.device import choose_device
        from train.presets import find_preset

        source = OnlineSource.of(
            self.source,
            store,
            encoder=self.encoder,
            weights=self.weights,
            device=choose_device(device),
            needs_statistics=find_preset(preset).standardises_inputs,
        )
        if not source.is_planned():
            _require_one_process(store)
            with progress_bar("index", "episodes") as progress:
                source.plan(progress)
        return source.view


def _require_one_process(store: Path) -> None:
    """Processes that plan the same store at the same time would refuse each other."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            f"{store} is not planned yet, which is for one process to do: first run `permafrost featurize "
            "--step index`, then `--step plan`, with this --source and --store."
        )
