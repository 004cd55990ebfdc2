"""The shape of an omni model: one frozen section per part. Saved in a checkpoint's config.json.

A model without a `vision`, `audio` or `video` section has no such tower and refuses such media; one
without `vq` and `generation` draws no pictures.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from models.families.janus_config import JanusImageTokenizerConfig, JanusVisionConfig
from models.section import CodedPictures, Section


class LinearRope(Section):
    """All positions divided (Chen et al. 2023)."""

    kind: Literal["linear"] = "linear"
    factor: float = Field(gt=0)


class Llama3Rope(Section):
    """Slow rotations divided, fast ones kept, and a ramp between them (Llama 3.1)."""

    kind: Literal["llama3"] = "llama3"
    factor: float = Field(gt=0)
    low_freq_factor: float = Field(gt=0, description="fewer turns over the length are divided")
    high_freq_factor: float = Field(gt=0, description="more turns over the length are kept")
    original_length: int = Field(ge=1, description="positions of the pretraining")

    @model_validator(mode="after")
    def _ramp_rises(self) -> Self:
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(
                f"high_freq_factor {self.high_freq_factor} must be above low_freq_factor"
                f" {self.low_freq_factor}"
            )
        return self


class DecoderConfig(Section):
    """RMSNorm, RoPE, grouped-query attention, SwiGLU."""

    vocab_size: int = Field(512, ge=1, description="text ids 0 … V-1")
    width: int = Field(128, ge=1)
    num_layers: int = Field(4, ge=1)
    num_heads: int = Field(4, ge=1)
    num_kv_heads: int = Field(2, ge=1)
    head_size: int = Field(32, ge=2)
    mlp_width: int = Field(352, ge=1)
    rope_theta: float = Field(10_000.0, gt=0)
    rope_scaling: LinearRope | Llama3Rope | None = Field(None, discriminator="kind")
    qkv_bias: bool = Field(False, description="of the projections to queries, keys and values")
    tied_head: bool = Field(False, description="text logits from the embeddings of the ids")
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


class VisionConfig(Section):
    """Convolution stem and ViT over one square tile."""

    family: Literal["attune"] = "attune"
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


class AudioConfig(Section):
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


class VideoConfig(Section):
    """Frames go through the vision tower; squares of patches are merged and told their time."""

    merge: int = Field(2, ge=1, description="side of the square of patches that makes a token")
    time_width: int = Field(16, ge=2, description="sines and cosines of the frame's time")


class ImageTokenizerConfig(CodedPictures):
    """VQ autoencoder of output pictures."""

    family: Literal["attune"] = "attune"
    image_size: int = Field(32, ge=1, description="pixels")
    channels: tuple[int, ...] = Field((24, 48, 96), description="per resolution; halved between")
    blocks_per_level: int = Field(1, ge=1)
    norm_groups: int = Field(8, ge=1)
    codebook_size: int = Field(256, ge=2)
    code_width: int = Field(8, ge=1)


class GenerationConfig(Section):
    """How image codes enter and leave the decoder; not tied to the codebook (Janus)."""

    embedding_width: int = Field(32, ge=1)


def _family_of(section: object) -> str | None:
    """A section that names no family is of the project's own."""
    if isinstance(section, Mapping):
        return str(section.get("family", "attune"))
    if isinstance(section, VisionSection | ImageTokenizerSection):
        return section.family
    return None


VisionSection = VisionConfig | JanusVisionConfig
ImageTokenizerSection = ImageTokenizerConfig | JanusImageTokenizerConfig
_TaggedVision = Annotated[
    Annotated[VisionConfig, Tag("attune")] | Annotated[JanusVisionConfig, Tag("janus")],
    Discriminator(_family_of),
]
_TaggedImageTokenizer = Annotated[
    Annotated[ImageTokenizerConfig, Tag("attune")]
    | Annotated[JanusImageTokenizerConfig, Tag("janus")],
    Discriminator(_family_of),
]


class OmniConfig(Section):
    """All parts. Ids: text 0 … V-1, image codes V … V+K-1."""

    decoder: DecoderConfig = DecoderConfig()
    vision: _TaggedVision | None = VisionConfig()
    audio: AudioConfig | None = None
    video: VideoConfig | None = None
    vq: _TaggedImageTokenizer | None = ImageTokenizerConfig()
    generation: GenerationConfig | None = GenerationConfig()
    image_token: int | None = Field(6, ge=0, description="placeholder ids, which fusion replaces")
    audio_token: int | None = Field(9, ge=0)
    video_token: int | None = Field(10, ge=0)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.vq is None) != (self.generation is None):
            raise ValueError("vq and generation belong together: give both or neither")
        for name, section, kind, token in (
            ("vision", self.vision, "image", self.image_token),
            ("audio", self.audio, "audio", self.audio_token),
            ("video", self.video, "video", self.video_token),
        ):
            if section is not None and token is None:
                raise ValueError(f"{name} needs {kind}_token, the id that its features replace")
        return self

    @model_validator(mode="after")
    def _frames_divide(self) -> Self:
        if self.video is None:
            return self
        if self.vision is None:
            raise ValueError("video needs vision: frames go through its tower")
        if self.vision.grid % self.video.merge:
            raise ValueError(
                f"video.merge {self.video.merge} must divide the vision tower's grid of"
                f" {self.vision.grid} patches"
            )
        return self

    @property
    def placeholders(self) -> tuple[int | None, int | None, int | None]:
        """In the order of features: of pictures, recordings, clips."""
        return (self.image_token, self.audio_token, self.video_token)

    @property
    def patches_per_tile(self) -> int:
        """Placeholder ids of a picture's tile; 0 for a model that takes none."""
        return 0 if self.vision is None else self.vision.patches_per_tile

    @property
    def tokens_per_frame(self) -> int:
        """Placeholder ids of a video frame; 0 for a model that takes none."""
        return 0 if self.video is None else self.patches_per_tile // self.video.merge**2

    @property
    def codebook_size(self) -> int:
        """Image codes; 0 for a model that draws none."""
        return 0 if self.vq is None else self.vq.codebook_size

    @property
    def codes_per_image(self) -> int:
        return 0 if self.vq is None else self.vq.codes_per_image

    @property
    def num_ids(self) -> int:
        return self.decoder.vocab_size + self.codebook_size
