"""The options of `train --online`."""

from pathlib import Path
from typing import Annotated

import typer

OnlineFlag = Annotated[
    bool, typer.Option("--online", help="Encode clips from --source when they are drawn; stores no latents.")
]
SourceOption = Annotated[Path | None, typer.Option(help="With --online: folder of DROID raw episodes.")]
EncoderOption = Annotated[
    str | None, typer.Option(help="With --online and a --store that is not planned yet. [vit-tiny-random]")
]
WeightsOption = Annotated[Path | None, typer.Option(help="With --online: checkpoint of the encoder.")]
