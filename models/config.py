"""The shape of an omni model: one frozen section per part. Saved in a checkpoint's config.json.

Audio and video arrive as further sections beside `vision`; their placeholder ids are reserved.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DecoderConfig(_Section):
    """RMSNorm, RoPE, grouped-query attention, SwiGLU."""

    vocab_size: int = Field(512, ge=1, description="text ids 0 … V-1")
    width: int = Field(128, ge=1)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    num_kv_heads: int = Field(2, ge=1)
    head_size: int = Field(32, ge=2)
    mlp_width: int = Field(352, ge=1)
    rope_theta: float = Field(10_000.0, gt=0)
    norm_eps: float = Field(1e-6, gt=0)
    max_length: int = Field(1024, ge=1, description="longest sequence, prompt and answer")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.num_heads % self.num_kv_heads or self.head_size % 2:
            raise ValueError(
                f"num_heads {self.num_heads} must be a multiple of num_kv_heads"
                f" {self.num_kv_heads}, and head_size {self.head_size} even"
            )
        return self


class VisionConfig(_Section):
    """Convolution stem and ViT over one square tile."""

    tile_size: int = Field(32, ge=1, description="pixels")
    stem_strides: int = Field(2, ge=1, description="halvings of the stem: 2 makes 4-pixel patches")
    stem_width: int = Field(32, ge=1, description="channels after the first halving; then doubled")
    width: int = Field(128, ge=1)
    num_layers: int = Field(2, ge=0)
    num_heads: int = Field(4, ge=1)
    mlp_width: int = Field(256, ge=1)
    norm_eps: float = Field(1e-6, gt=0)

    @property
    def grid(self) -> int:
        return self.tile_size >> self.stem_strides

    @property
    def patches_per_tile(self) -> int:
        return self.grid**2


class ImageTokenizerConfig(_Section):
    """VQ autoencoder of output pictures."""

    image_size: int = Field(32, ge=1, description="pixels")
    channels: tuple[int, ...] = Field((24, 48, 96), description="per resolution; halved between")
    blocks_per_level: int = Field(1, ge=1)
    norm_groups: int = Field(8, ge=1)
    codebook_size: int = Field(256, ge=2)
    code_width: int = Field(8, ge=1)

    @property
    def grid(self) -> int:
        return self.image_size >> (len(self.channels) - 1)

    @property
    def codes_per_image(self) -> int:
        return self.grid**2


class GenerationConfig(_Section):
    """How image codes enter and leave the decoder; not tied to the codebook (Janus)."""

    embedding_width: int = Field(32, ge=1)


class OmniConfig(_Section):
    """All parts. Ids: text 0 … V-1, image codes V … V+K-1."""

    decoder: DecoderConfig = DecoderConfig()
    vision: VisionConfig = VisionConfig()
    vq: ImageTokenizerConfig = ImageTokenizerConfig()
    generation: GenerationConfig = GenerationConfig()
    image_token: int = Field(6, ge=0, description="placeholder id that fusion replaces")

    @property
    def num_ids(self) -> int:
        return self.decoder.vocab_size + self.vq.codebook_size
