"""What the encoders of media share: the transformer layer, and the way into the decoder's width.

Names follow Janus. Legend: N units (tiles, windows, frames), P positions, D width, H heads,
K head size.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class EncoderAttention(nn.Module):
    """Every position attends to every other one; shared by the encoders of all media."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.projection_layer = nn.Linear(width, width)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        query, key, value = (
            proj(hidden_NPD).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed_NHPK = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.projection_layer(mixed_NHPK.transpose(1, 2).flatten(2))
        return out


class EncoderMLP(nn.Module):
    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(hidden_NPD)))
        return out


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer of the encoders."""

    def __init__(self, width: int, num_heads: int, mlp_width: int, norm_eps: float) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.self_attn = EncoderAttention(width, num_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = EncoderMLP(width, mlp_width)

    def forward(self, hidden_NPD: Tensor) -> Tensor:
        hidden_NPD = hidden_NPD + self.self_attn(self.layer_norm1(hidden_NPD))
        mlp_NPD: Tensor = self.mlp(self.layer_norm2(hidden_NPD))
        return hidden_NPD + mlp_NPD


class Aligner(nn.Module):
    """Two-layer projector into the decoder's width (Janus: `fc1`, `hidden_layers.0`)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width_in, width_out)
        self.hidden_layers = nn.ModuleList([nn.Linear(width_out, width_out)])

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.hidden_layers[0](F.gelu(self.fc1(features)))
        return out
