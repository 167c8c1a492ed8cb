"""The channel statistics as the two arrays of an int8 store that hold them."""

from collections.abc import Mapping
from pathlib import Path

from store_schema.atomic import write_atomically
from store_schema.format import ArraySpec
from store_schema.layout import encode_whole
from store_schema.quantisation import ChannelStatistics


def write_channel_statistics(
    path: Path, specs: Mapping[str, ArraySpec], statistics: ChannelStatistics
) -> None:
    """Write `channel_mean` and `channel_std`; they count once the fingerprint has their hash."""
    for name, values_D in (("channel_mean", statistics.mean_D), ("channel_std", statistics.std_D)):
        relative, data = encode_whole(specs[name], values_D.numpy())
        write_atomically(path / relative, data)
