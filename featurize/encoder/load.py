"""A named encoder, ready to encode."""

from pathlib import Path

import torch

from featurize.encoder.attention import Attention, XformersAttention, choose_attention
from featurize.encoder.catalogue import encoder_spec
from featurize.encoder.errors import CheckpointKeyError, EncoderOptionError, WeightsUnavailableError
from featurize.encoder.frozen import FrozenEncoder
from featurize.encoder.huggingface import is_huggingface, read_huggingface
from featurize.encoder.official import cached_official, read_official
from featurize.encoder.patches import TubeletEmbed, fold
from featurize.encoder.random_init import random_weights
from featurize.encoder.spec import EncoderSpec, RandomVitSpec, TimmSpec, Vjepa2Spec
from featurize.encoder.timm_vit import load_timm
from featurize.encoder.vit import Vjepa2Vit
from featurize.encoder.weights import EncoderWeights, load_strictly, weights_sha256

_DEFAULT_CHECKPOINT_KEY = "target_encoder"


def load_encoder(
    encoder: str | EncoderSpec,
    *,
    weights: Path | None = None,
    checkpoint_key: str | None = None,
    attention: Attention = "sdpa",
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> FrozenEncoder:
    """Build an encoder and load its weights strictly.

    Args:
        encoder: a name that `encoder_spec` knows, or a specification of your own.
        weights: an official `.pt`, a Hugging Face `.safetensors` or the folder it lies in; for `timm:NAME` a
            file that timm reads. None: by name, through torch.hub's cache (V-JEPA 2) or timm's.
        checkpoint_key: which network of an official file, `target_encoder` or `encoder`; None: the first of
            these that the published file has. Other files have one network only.
        attention: 'sdpa', 'xformers' (an error where it cannot serve) or 'auto' (xformers where it serves).
        device: where to compute.
        dtype: what to compute in; None: bfloat16 on CUDA, float32 elsewhere.

    Raises:
        UnknownEncoderError, UnsupportedTimmModelError: the name.
        EncoderOptionError: an option that this encoder has no use for.
        WeightsUnavailableError, CheckpointUnreadableError: the weights cannot be found or read.
        CheckpointKeyError, CheckpointMismatchError: they are not the weights of this encoder.
        XformersUnavailableError: 'xformers' cannot serve here.
    """
    spec = encoder_spec(encoder) if isinstance(encoder, str) else encoder
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    _refuse_useless_options(spec, weights, checkpoint_key)
    if isinstance(spec, TimmSpec):
        return _load_timm(spec, weights, attention, device, dtype)
    if not isinstance(spec, Vjepa2Spec):
        raise TypeError(
            f"load_encoder takes a Vjepa2Spec, RandomVitSpec or TimmSpec, not {type(spec).__name__}."
        )
    return _load_vjepa2(spec, weights, checkpoint_key, attention, device, dtype)


def default_dtype(device: torch.device) -> torch.dtype:
    """What to compute in where nothing else is asked for: bfloat16 on CUDA, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def build_vjepa2(spec: Vjepa2Spec) -> Vjepa2Vit:
    """The network in its published form, parameters on the meta device: sizes without memory."""
    with torch.device("meta"):
        return Vjepa2Vit(spec)


def fold_patches(vit: Vjepa2Vit) -> None:
    """Replace the published patch embedding by its folded form, in place."""
    assert isinstance(vit.patch_embed, TubeletEmbed), "folded already"
    vit.patch_embed = fold(vit.patch_embed)


def _load_vjepa2(
    spec: Vjepa2Spec,
    weights: Path | None,
    checkpoint_key: str | None,
    attention: Attention,
    device: torch.device,
    dtype: torch.dtype,
) -> FrozenEncoder:
    # First, because it fails in a moment and weights take minutes.
    ops = choose_attention(
        attention, head_dim=spec.head_dim, num_heads=spec.num_heads, device=device, dtype=dtype
    )
    vit = build_vjepa2(spec)
    load_strictly(vit, _weights(spec, vit, weights, checkpoint_key), spec.name)
    sha256 = weights_sha256(vit)
    fold_patches(vit)
    if ops is not None:
        for block in vit.blocks:
            block.attn = XformersAttention(block.attn, ops)
    vit.cast_compute(dtype)
    return FrozenEncoder(
        vit,
        spec,
        weights_sha256=sha256,
        attention="xformers" if ops else "sdpa",
        device=device,
        dtype=dtype,
    )


def _load_timm(
    spec: TimmSpec, weights: Path | None, attention: Attention, device: torch.device, dtype: torch.dtype
) -> FrozenEncoder:
    if attention == "xformers":
        raise EncoderOptionError(
            f"{spec.name} computes attention in timm's own blocks; use --attention sdpa or auto."
        )
    network = load_timm(spec.timm_name, weights)
    sha256 = weights_sha256(network)
    network.cast_compute(dtype)
    return FrozenEncoder(network, spec, weights_sha256=sha256, attention="timm", device=device, dtype=dtype)


def _weights(
    spec: Vjepa2Spec, vit: Vjepa2Vit, weights: Path | None, checkpoint_key: str | None
) -> EncoderWeights:
    if isinstance(spec, RandomVitSpec):
        return EncoderWeights(origin=f"seed {spec.seed}", tensors=random_weights(vit, spec.seed))
    if weights is None:
        return _published(spec, checkpoint_key)
    if is_huggingface(weights):
        return read_huggingface(weights)
    return read_official(weights, checkpoint_key or _default_key(spec))


def _published(spec: Vjepa2Spec, checkpoint_key: str | None) -> EncoderWeights:
    if spec.official is None:
        raise WeightsUnavailableError(f"No weights are published for {spec.name}; pass --weights PATH.")
    key = checkpoint_key or _default_key(spec)
    if key not in spec.official.checkpoint_keys:
        # Said before gigabytes are fetched to find it out.
        raise CheckpointKeyError(
            f"{spec.official.url} has no network '{key}'. "
            f"Choose {' or '.join(spec.official.checkpoint_keys)} with --checkpoint-key."
        )
    return read_official(cached_official(spec.official.url), key)


def _default_key(spec: Vjepa2Spec) -> str:
    return spec.official.checkpoint_keys[0] if spec.official else _DEFAULT_CHECKPOINT_KEY


def _refuse_useless_options(spec: EncoderSpec, weights: Path | None, checkpoint_key: str | None) -> None:
    if weights is not None and isinstance(spec, RandomVitSpec):
        raise EncoderOptionError(
            f"{spec.name} draws its weights from seed {spec.seed}; leave --weights out or name another one."
        )
    if weights is not None and not weights.exists():
        raise WeightsUnavailableError(f"--weights {weights} does not exist.")
    from_official = isinstance(spec, Vjepa2Spec) and not isinstance(spec, RandomVitSpec)
    has_keys = from_official and (weights is None or not is_huggingface(weights))
    if not has_keys and checkpoint_key not in (None, _DEFAULT_CHECKPOINT_KEY):
        raise EncoderOptionError(
            f"--checkpoint-key {checkpoint_key} chooses a network of an official .pt file; "
            f"{weights or spec.name} has only one. Leave the option out."
        )
