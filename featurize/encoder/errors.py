"""What can go wrong before the first frame is encoded; every message says expected, got, what to do."""

from collections.abc import Sequence

_LISTED_KEYS = 8


class EncoderError(Exception):
    """Base of every error this package raises on purpose."""


class UnknownEncoderError(EncoderError):
    """No encoder of that name."""


class UnsupportedTimmModelError(EncoderError):
    """A timm model that does not give one square grid of patch tokens."""


class EncoderOptionError(EncoderError):
    """An option that this encoder, or this weight file, has no use for."""


class WeightsUnavailableError(EncoderError):
    """The weights are neither on this machine nor reachable."""


class CheckpointUnreadableError(EncoderError):
    """A weight file that is damaged or is not a checkpoint."""


class CheckpointKeyError(EncoderError):
    """A checkpoint without the network that was asked for."""


class XformersUnavailableError(EncoderError):
    """xformers was asked for and cannot serve here."""


class FramesError(EncoderError):
    """Frames of a shape or dtype that the encoder does not take."""


class CheckpointMismatchError(EncoderError):
    """Tensors of a checkpoint and of the network are not the same set.

    `missing`, `unexpected` and `misshapen` hold all of them; the message lists the first few of each.
    """

    def __init__(
        self,
        where: str,
        encoder: str,
        *,
        missing: Sequence[str],
        unexpected: Sequence[str],
        misshapen: Sequence[str],
    ) -> None:
        self.missing, self.unexpected, self.misshapen = tuple(missing), tuple(unexpected), tuple(misshapen)
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "wrong shape": self.misshapen}
        lines = [f"  {kind} ({len(keys)}): {_first_of(keys)}" for kind, keys in kinds.items() if keys]
        super().__init__(
            f"The weights in {where} do not fit {encoder}; nothing was loaded.\n"
            + "\n".join(lines)
            + "\nName the encoder that these weights belong to, or point --weights at the matching file."
        )


def _first_of(keys: Sequence[str]) -> str:
    rest = len(keys) - _LISTED_KEYS
    return ", ".join(keys[:_LISTED_KEYS]) + (f" and {rest} more" if rest > 0 else "")
