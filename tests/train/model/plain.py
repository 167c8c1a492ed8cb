"""The objective written out: every pass computed whole, attention with the mask in full, no prefix.

Legend: B clips, T frames, S tokens of a clip, P predictor width.
"""

import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch.nn import functional as F

from train.objective import normalise_latents
from train.poses import integrate_pose
from train.predictor import Predictor
from train.rope import rotation_table


def plain_forward(predictor: Predictor, latents_BTND, actions_BTA, states_BTA) -> torch.Tensor:
    """What `Predictor.forward` computes, from its maps alone."""
    config, num_frames = predictor.config, latents_BTND.shape[1]
    tokens_BSP = predictor._interleave(latents_BTND, actions_BTA, states_BTA)
    rope = rotation_table(
        num_frames, config.grid_height, config.grid_width, config.head_dim, latents_BTND.device
    )
    step_S = torch.arange(tokens_BSP.shape[1]) // config.tokens_per_step
    hidden_SS = step_S[:, None] < step_S[None, :]
    for block in predictor.predictor_blocks:
        tokens_BSP = tokens_BSP + plain_attention(block.attn, block.norm1(tokens_BSP), rope, hidden_SS)
        tokens_BSP = tokens_BSP + block.mlp(block.norm2(tokens_BSP))
    return predictor._read_out(tokens_BSP, latents_BTND)


def plain_attention(attention, tokens_BSP, rope, hidden_SS) -> torch.Tensor:
    """Scores of all pairs, those of later steps set to minus infinity."""
    heads = attention.qkv(tokens_BSP).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    query, key = (apply_rot_embed_cat(tensor, rope) for tensor in heads[:2])
    scores = (query @ key.transpose(-2, -1)) * attention.head_dim**-0.5
    mixed = scores.masked_fill(hidden_SS, -torch.inf).softmax(-1).to(heads.dtype) @ heads[2]
    return attention.proj(mixed.transpose(1, 2).flatten(2))


def plain_losses(predictor, latents_BTND, actions_BTA, states_BTA, rollout_steps) -> dict[str, torch.Tensor]:
    """What `Objective` computes: the rollout runs over the whole context again for each of its steps."""
    teacher_forced = normalise_latents(
        plain_forward(predictor, latents_BTND[:, :-1], actions_BTA, states_BTA[:, :-1])
    )
    context = torch.cat([latents_BTND[:, :1], teacher_forced[:, :1]], dim=1)
    for length in range(2, rollout_steps + 1):
        output = plain_forward(predictor, context, actions_BTA[:, :length], states_BTA[:, :length])
        context = torch.cat([context, normalise_latents(output)[:, -1:]], dim=1)
    losses = {
        "teacher_forcing_loss": F.l1_loss(teacher_forced, latents_BTND[:, 1:]),
        "rollout_loss": F.l1_loss(context[:, 1:], latents_BTND[:, 1 : rollout_steps + 1]),
    }
    return {"loss": sum(losses.values()), **losses}


def plain_rollout(predictor, first_latent_BND, first_state_BA, actions_BTA) -> torch.Tensor:
    """What `rollout` computes: the whole context again for every frame."""
    latents_BTND, states_BTA = first_latent_BND[:, None], first_state_BA[:, None]
    for step in range(actions_BTA.shape[1]):
        output = plain_forward(predictor, latents_BTND, actions_BTA[:, : step + 1], states_BTA)
        latents_BTND = torch.cat([latents_BTND, normalise_latents(output)[:, -1:]], dim=1)
        next_state_BA = integrate_pose(states_BTA[:, -1], actions_BTA[:, step])
        states_BTA = torch.cat([states_BTA, next_state_BA[:, None]], dim=1)
    return latents_BTND[:, 1:]
