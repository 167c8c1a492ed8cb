"""How fast frames are decoded and encoded here, and what share of its matrix products the encoder reaches."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from featurize.encoder.registry import EncoderError, FrozenEncoder
from featurize.encoder.registry import describe as describe_encoder
from featurize.estimate import counted
from featurize.rates import decode_rate_of, encode_rate_of, random_encoder
from featurize.recipe import Build, FeaturizeRecipe, planned_recipe
from featurize.sources.droid_raw import DroidRaw
from featurize.survey import survey
from featurize.threads import repeatable_threads
from pipeline.bench.matrix_products import MatrixProducts
from pipeline.bench.rows import Row
from pipeline.bench.synthetic_source import is_synthetic
from store_schema.store import Store

ENCODE, DECODE = "encode", "decode, one thread"
Say = Callable[[str], None]


def encode_rows(store: Store, products: MatrixProducts, seconds: float, say: Say) -> list[Row]:
    """The store's own encoder, by its name and with drawn weights: frames a second, and FLOPs."""
    name = store.attributes.fingerprint.encoder.name
    try:
        described = describe_encoder(name)
    except EncoderError as error:
        why = f"the store's encoder cannot be built: {error}"
        return [Row.missing(ENCODE, "frames/s", why), Row.missing("encode, computed", "FLOP/s", why)]
    device = products.device
    say(f"Drawing weights for {name} on {device}: {4 * described['parameters'] / 1e9:.1f} GB of memory.")
    encoder = random_encoder(name, str(device))
    with repeatable_threads(device):
        limit = products.row(encoder.dtype)
        frames_per_second, batch_frames = encode_rate_of(
            encoder, _recipe_of(store).encode_batch_frames, seconds
        )
    computed = frames_per_second * described["flops_per_frame"]
    note = (
        f"{name}, drawn weights, {counted(batch_frames, 'frame')} a pass, {_dtype_name(encoder)}, quantised"
    )
    return [
        Row.measured(ENCODE, frames_per_second, "frames/s", note=note),
        Row.measured("encode, computed", computed, "FLOP/s", limit=limit,
                     note=f"frames/s x {described['flops_per_frame']:,} FLOP a frame"),
    ]  # fmt: skip


def decode_row(store: Store, source: Path | None, seconds: float, encode: Row) -> Row:
    """Decoding, cropping and resizing as `encode` needs it, against what the encoder takes.

    Raises what looking at the source raises.
    """
    if source is None:
        return Row.missing(DECODE, "frames/s", "needs --source, the episodes to decode")
    recipe, found = _recipe_of(store), DroidRaw(source.absolute())
    sampled = survey(found, recipe)
    with tempfile.TemporaryDirectory(prefix="permafrost-bench-") as folder:
        build = Build(recipe=recipe, store=Path(folder) / "store", source_root=found.root)
        rate = decode_rate_of(build, sampled, seconds)
    limit = None if encode.value is None else encode
    return Row.measured(DECODE, rate, "frames/s", limit=limit,
                        note="stored frames, decoded, cropped and resized for the encoder")  # fmt: skip


def _recipe_of(store: Store) -> FeaturizeRecipe:
    """What the store was built by; a synthetic one was built by none, and is decoded for as by default."""
    if is_synthetic(store.path):
        return FeaturizeRecipe(encoder=store.attributes.fingerprint.encoder.name)
    recipe = planned_recipe(store.path)
    assert recipe is not None, "the store is open"
    return recipe


def _dtype_name(encoder: FrozenEncoder) -> str:
    return str(encoder.dtype).removeprefix("torch.")
