"""What an encoder is, as far as the rest of the house needs to know."""

from dataclasses import dataclass

IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """The outside of an encoder: one square RGB frame in, `num_tokens` tokens of `width` channels out."""

    name: str
    image_size_px: int
    """Height and width of a frame."""
    patch_size_px: int
    """Height and width of the patch that becomes one token."""
    width: int
    """Channels of a token."""
    mean_rgb: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from the RGB values, which run from 0 to 255."""
    std_rgb: tuple[float, float, float] = IMAGENET_STD
    """Divides what is left."""

    @property
    def grid_height(self) -> int:
        """Rows of tokens."""
        return self.image_size_px // self.patch_size_px

    @property
    def grid_width(self) -> int:
        """Tokens in a row; frames are square."""
        return self.grid_height

    @property
    def num_tokens(self) -> int:
        """Tokens of one frame, row after row."""
        return self.grid_height * self.grid_width


@dataclass(frozen=True, kw_only=True)
class OfficialFile:
    """A published checkpoint."""

    url: str
    checkpoint_keys: tuple[str, ...]
    """The encoders in it, the one to take by default first."""


@dataclass(frozen=True, kw_only=True)
class Vjepa2Spec(EncoderSpec):
    """A V-JEPA 2 vision transformer with published weights (arXiv 2506.09985, table 4)."""

    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    official: OfficialFile | None = None
    """Where the weights are fetched from when no file is given; None where there is nothing to fetch."""

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True, kw_only=True)
class RandomVitSpec(Vjepa2Spec):
    """The same architecture with weights drawn from a seed."""

    seed: int


@dataclass(frozen=True, kw_only=True)
class TimmSpec(EncoderSpec):
    """A vision transformer of timm."""

    timm_name: str
    """Without the `timm:` in front."""
