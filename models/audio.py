"""The audio encoder: a convolution stem and a small transformer over one window of log-mel frames.

Windows have one length, so that a clip's features do not depend on what shares its batch; what is
past its end is silence, and the tokens for it are dropped (models/media.py). Names follow Whisper.
Legend: N windows, M mels, T frames, P states, D width, H heads, K head size.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import AudioConfig
from models.encoder import EncoderLayer


class AudioModel(nn.Module):
    """Log-mel windows, as models/preprocessing/log_mel.py scales them, to one vector per token."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.num_mels] + [config.width] * config.stem_strides
        self.convs = nn.ModuleList(
            nn.Conv1d(before, after, 3, stride=2, padding=1)
            for before, after in itertools.pairwise(widths)
        )
        num_states = config.window_frames >> config.stem_strides
        self.position_embedding = nn.Parameter(torch.zeros(num_states, config.width))
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_width, config.norm_eps)
            for _ in range(config.num_layers)
        )
        self.layer_norm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def init_scales(self, generator: torch.Generator) -> None:
        """Lets what is heard outweigh when it is (see `VisionModel.init_scales`)."""
        nn.init.normal_(self.position_embedding, std=0.1, generator=generator)

    def forward(self, mels_NMT: Tensor) -> Tensor:
        hidden = mels_NMT
        for conv in self.convs:
            hidden = F.gelu(conv(hidden))
        hidden_NPD = hidden.transpose(1, 2) + self.position_embedding
        for layer in self.layers:
            hidden_NPD = layer(hidden_NPD)
        pooled = F.avg_pool1d(self.layer_norm(hidden_NPD).transpose(1, 2), self.config.pooling)
        return pooled.transpose(1, 2)
