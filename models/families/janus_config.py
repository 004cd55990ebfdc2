"""The shapes of Janus' vision tower and image tokenizer, as sections of an OmniConfig. No torch."""

from typing import Literal

from pydantic import Field

from models.section import CodedPictures, Section

Colour = tuple[float, float, float]


class JanusVisionConfig(Section):
    """SigLIP: one convolution per patch, learned positions, pre-norm layers."""

    family: Literal["janus"] = "janus"
    tile_size: int = Field(384, ge=1, description="pixels; one tile per picture")
    patch_size: int = Field(16, ge=1, description="pixels")
    width: int = Field(1024, ge=1)
    num_layers: int = Field(24, ge=0)
    num_heads: int = Field(16, ge=1)
    mlp_width: int = Field(4096, ge=1)
    norm_eps: float = Field(1e-6, gt=0)
    pixel_mean: Colour = Field((0.5, 0.5, 0.5), description="subtracted from pixels in 0..1")
    pixel_std: Colour = Field((0.5, 0.5, 0.5), description="then divided by")

    @property
    def grid(self) -> int:
        return self.tile_size // self.patch_size

    @property
    def patches_per_tile(self) -> int:
        return self.grid**2


class JanusImageTokenizerConfig(CodedPictures):
    """VQGAN autoencoder (Esser et al. 2021) of output pictures."""

    family: Literal["janus"] = "janus"
    image_size: int = Field(384, ge=1, description="pixels")
    channels: tuple[int, ...] = Field((128, 128, 256, 256, 512), description="per resolution")
    blocks_per_level: int = Field(2, ge=1, description="of the encoder; the decoder has one more")
    norm_groups: int = Field(32, ge=1)
    latent_channels: int = Field(256, ge=1)
    codebook_size: int = Field(16384, ge=2)
    code_width: int = Field(8, ge=1)
