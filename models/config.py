"""The shape of an omni model: one frozen section per part. Saved in a checkpoint's config.json.

A model without an `audio` or `video` section has no such tower and refuses such media.
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


class AudioConfig(_Section):
    """Convolution stem and transformer over windows of log-mel frames, each window by itself."""

    num_mels: int = Field(64, ge=1)
    window_frames: int = Field(400, ge=1, description="of 10 ms; a shorter last window is padded")
    stem_strides: int = Field(2, ge=1, description="halvings of the stem: 2 leave 25 per second")
    pooling: int = Field(2, ge=1, description="states averaged into a token")
    width: int = Field(128, ge=1)
    num_layers: int = Field(2, ge=0)
    num_heads: int = Field(4, ge=1)
    mlp_width: int = Field(256, ge=1)
    norm_eps: float = Field(1e-6, gt=0)

    @model_validator(mode="after")
    def _tokens_fill_windows(self) -> Self:
        if self.window_frames % self.frames_per_token:
            raise ValueError(
                f"window_frames {self.window_frames} must be a multiple of the"
                f" {self.frames_per_token} frames of a token"
            )
        return self

    @property
    def frames_per_token(self) -> int:
        return self.pooling << self.stem_strides

    @property
    def tokens_per_window(self) -> int:
        return self.window_frames // self.frames_per_token


class VideoConfig(_Section):
    """Frames go through the vision tower; squares of patches are merged and told their time."""

    merge: int = Field(2, ge=1, description="side of the square of patches that makes a token")
    time_width: int = Field(16, ge=2, description="sines and cosines of the frame's time")


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
    audio: AudioConfig | None = None
    video: VideoConfig | None = None
    vq: ImageTokenizerConfig = ImageTokenizerConfig()
    generation: GenerationConfig = GenerationConfig()
    image_token: int = Field(6, ge=0, description="placeholder ids, which fusion replaces")
    audio_token: int = Field(9, ge=0)
    video_token: int = Field(10, ge=0)

    @model_validator(mode="after")
    def _frames_divide(self) -> Self:
        if self.video is not None and self.vision.grid % self.video.merge:
            raise ValueError(
                f"video.merge {self.video.merge} must divide the vision tower's grid of"
                f" {self.vision.grid} patches"
            )
        return self

    @property
    def tokens_per_frame(self) -> int:
        """Placeholder ids of a video frame; 0 for a model that takes none."""
        return 0 if self.video is None else self.vision.patches_per_tile // self.video.merge**2

    @property
    def num_ids(self) -> int:
        return self.decoder.vocab_size + self.vq.codebook_size
