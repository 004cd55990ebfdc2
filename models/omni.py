"""The omni model: encoders of media, fusion, decoder, and heads for text, image codes and value.

One definition serves generation, training and scoring; the caller brings the attention. Submodules
are named after Janus, whose layout this follows.
Legend: B batch, L length, D width, V text ids, K codes, N tiles, S side, P patches, F features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Attention
from models.audio import AudioModel
from models.config import OmniConfig, VisionSection
from models.decoder import Decoder
from models.encoder import Aligner
from models.families.janus_config import JanusVisionConfig
from models.families.janus_vision import JanusVisionModel
from models.image_tokenizer import ImageTokenizer
from models.initialization import init_fan_in, scale_residual_outputs
from models.media import MediaTensors, first_features
from models.video import VideoAligner
from models.vision import VisionModel


class GenerationHead(nn.Module):
    """Decoder output to logits over image codes (Janus: `proj_out`, `vision_head`)."""

    def __init__(self, width: int, codebook_size: int) -> None:
        super().__init__()
        self.proj_out = nn.Linear(width, width)
        self.vision_head = nn.Linear(width, codebook_size)

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.vision_head(F.gelu(self.proj_out(hidden)))
        return logits


class OmniModel(nn.Module):
    """See the module. Fresh weights are drawn from `seed`; without one they hold anything."""

    def __init__(self, config: OmniConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        width = config.decoder.width
        if config.vision is not None:
            self.vision_model = _vision_model(config.vision)
            self.aligner = Aligner(config.vision.width, width)
        if config.audio is not None:
            self.audio_model = AudioModel(config.audio)
            self.audio_aligner = Aligner(config.audio.width, width)
        if config.vision is not None and config.video is not None:
            self.video_aligner = VideoAligner(config.vision, config.video, width)
        self.language_model = Decoder(config.decoder)
        if not config.decoder.tied_head:
            self.lm_head = nn.Linear(width, config.decoder.vocab_size, bias=False)
        if config.vq is not None and config.generation is not None:
            self.vqmodel = ImageTokenizer(config.vq)
            code_width = config.generation.embedding_width
            self.generation_embeddings = nn.Embedding(config.vq.codebook_size, code_width)
            self.generation_aligner = Aligner(code_width, width)
            self.generation_head = GenerationHead(width, config.vq.codebook_size)
        self.value_head = nn.Linear(width, 1)
        if seed is not None:
            self._init_weights(torch.Generator().manual_seed(seed))

    @property
    def encoders(self) -> list[nn.Module]:
        """The encoders of media that this model has."""
        vision = [] if self.config.vision is None else [self.vision_model]
        audio = [] if self.config.audio is None else [self.audio_model]
        return [*vision, *audio]

    @property
    def image_tokenizers(self) -> list[nn.Module]:
        """One, or none for a model that draws no pictures."""
        return [] if self.config.vq is None else [self.vqmodel]

    @property
    def text_head_VD(self) -> Tensor:
        """What `text_logits` multiplies with."""
        is_tied = self.config.decoder.tied_head
        return self.language_model.embed_tokens.weight if is_tied else self.lm_head.weight

    def encode_tiles(self, tiles_N3SS: Tensor) -> Tensor:
        """features_NPD of tiles in 0..1, ready for fusion."""
        if self.config.vision is None:
            raise ValueError("this model has no vision encoder")
        features_NPD: Tensor = self.aligner(self.vision_model(tiles_N3SS))
        return features_NPD

    def encode_windows(self, mels_NMT: Tensor) -> Tensor:
        """features_NPD of windows of log-mel frames."""
        if self.config.audio is None:
            raise ValueError("this model has no audio encoder")
        features_NPD: Tensor = self.audio_aligner(self.audio_model(mels_NMT))
        return features_NPD

    def encode_frames(self, frames_N3SS: Tensor, times_N: Tensor) -> Tensor:
        """features_NPD of frames in 0..1 and their times in seconds."""
        if self.config.video is None:
            raise ValueError("this model takes no video")
        features_NPD: Tensor = self.video_aligner(self.vision_model(frames_N3SS), times_N)
        return features_NPD

    def encode_media(self, media: MediaTensors) -> Tensor | None:
        """features_FD as `embed` takes them; None where there are no media."""
        features = []
        if len(media.tiles_N3SS):
            features.append(self.encode_tiles(media.tiles_N3SS).flatten(0, 1))
        if len(media.mels_NMT):
            windows_NPD = self.encode_windows(media.mels_NMT)
            features.append(first_features(windows_NPD, media.mel_tokens_N))
        if len(media.frames_N3SS):
            features.append(self.encode_frames(media.frames_N3SS, media.times_N).flatten(0, 1))
        return torch.cat(features) if features else None

    def embed(self, token_ids_BL: Tensor, features_FD: Tensor | None = None) -> Tensor:
        """hidden_BLD. Rows of `features_FD` replace placeholder ids: first all image ids in
        row-major order, then all audio ids, then all video ids."""
        vocab_size = self.config.decoder.vocab_size
        is_code_BL = token_ids_BL >= vocab_size
        hidden_BLD: Tensor = self.language_model.embed_tokens(token_ids_BL * ~is_code_BL)
        codes = token_ids_BL[is_code_BL] - vocab_size
        if len(codes):
            self._check_draws()
            hidden_BLD = hidden_BLD.masked_scatter(
                is_code_BL[..., None],
                self.generation_aligner(self.generation_embeddings(codes)).to(hidden_BLD.dtype),
            )
        return self._fuse(hidden_BLD, token_ids_BL, features_FD)

    def decode(self, hidden_BLD: Tensor, positions_BL: Tensor, attention: Attention) -> Tensor:
        """hidden_BLD after the final norm, which every head reads."""
        out_BLD: Tensor = self.language_model(hidden_BLD, positions_BL, attention)
        return out_BLD

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Over the V text ids; leading shape as given."""
        return F.linear(hidden, self.text_head_VD)

    def image_logits(self, hidden: Tensor) -> Tensor:
        """Over the K codes; leading shape as given."""
        self._check_draws()
        logits: Tensor = self.generation_head(hidden)
        return logits

    def value(self, hidden: Tensor) -> Tensor:
        """Expected return at each position; leading shape as given. Zero in a fresh model."""
        value: Tensor = self.value_head(hidden).squeeze(-1)
        return value

    def _fuse(self, hidden_BLD: Tensor, token_ids_BL: Tensor, features_FD: Tensor | None) -> Tensor:
        masks = [token_ids_BL == token for token in self.config.placeholders if token is not None]
        counts = [int(mask_BL.sum()) for mask_BL in masks]
        given = 0 if features_FD is None else len(features_FD)
        if sum(counts) != given:
            raise ValueError(f"{sum(counts)} placeholder ids but {given} rows of features")
        if features_FD is None:
            return hidden_BLD
        for mask_BL, rows_FD in zip(masks, torch.split(features_FD, counts), strict=True):
            if len(rows_FD):
                rows_FD = rows_FD.to(hidden_BLD.dtype)
                hidden_BLD = hidden_BLD.masked_scatter(mask_BL[..., None], rows_FD)
        return hidden_BLD

    def _check_draws(self) -> None:
        if self.config.vq is None:
            raise ValueError("this model draws no pictures: it has no image codes")

    def _init_weights(self, generator: torch.Generator) -> None:
        init_fan_in(self, generator)
        layers = self.language_model.layers
        outputs = [layer.get_submodule("self_attn.o_proj") for layer in layers]
        outputs += [layer.get_submodule("mlp.down_proj") for layer in layers]
        scale_residual_outputs([o for o in outputs if isinstance(o, nn.Linear)], len(layers))
        nn.init.zeros_(self.value_head.weight)
        if self.config.vision is not None:
            self.vision_model.init_scales(generator)
        if self.config.audio is not None:
            self.audio_model.init_scales(generator)


def _vision_model(config: VisionSection) -> VisionModel | JanusVisionModel:
    if isinstance(config, JanusVisionConfig):
        return JanusVisionModel(config)
    return VisionModel(config)
