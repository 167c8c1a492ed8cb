"""The encoders by name: the public names of this package."""

from featurize.encoder.attention import Attention
from featurize.encoder.catalogue import DEFAULT_ENCODER, encoder_names, encoder_spec
from featurize.encoder.describe import describe
from featurize.encoder.errors import EncoderError
from featurize.encoder.frozen import FrozenEncoder
from featurize.encoder.load import load_encoder
from featurize.encoder.spec import EncoderSpec

__all__ = [
    "DEFAULT_ENCODER",
    "Attention",
    "EncoderError",
    "EncoderSpec",
    "FrozenEncoder",
    "describe",
    "encoder_names",
    "encoder_spec",
    "load_encoder",
]
