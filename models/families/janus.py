"""Janus and Janus-Pro: what their config.json says, and how they name weights.

Method: Wu et al. 2024, Chen et al. 2025. Facts of the format: transformers' JanusConfig.
"""

from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.checkpoint_error import CheckpointError
from models.config import GenerationConfig, OmniConfig
from models.families.chat_formats import janus_format
from models.families.description import Description
from models.families.folder import FamilyFolder
from models.families.janus_config import Colour, JanusImageTokenizerConfig, JanusVisionConfig
from models.families.llama import LlamaFile, has_tied_head
from models.families.tokens import FolderTokens
from models.preprocessing.images import SquarePadding

_AS_WRITTEN = ConfigDict(frozen=True, extra="ignore")


class VisionFile(BaseModel):
    """`vision_config`."""

    model_config = _AS_WRITTEN

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    image_size: int = 384
    patch_size: int = 16
    mlp_ratio: float = 4.0
    layer_norm_eps: float = 1e-6
    projection_dim: int = 2048
    num_image_tokens: int = 576
    num_channels: Literal[3] = 3
    depth: Literal[2] = 2
    hidden_act: Literal["gelu"] = "gelu"
    attention_bias: Literal[True] = True
    use_qk_norm: Literal[False] = False

    @property
    def grid(self) -> int:
        return self.image_size // self.patch_size


class ImageTokenizerFile(BaseModel):
    """`vq_config`."""

    model_config = _AS_WRITTEN

    embed_dim: int = 8
    num_embeddings: int = 16_384
    latent_channels: int = 256
    base_channels: int = 128
    channel_multiplier: tuple[int, ...] = (1, 1, 2, 2, 4)
    num_res_blocks: int = 2
    projection_dim: int = 2048
    image_token_embed_dim: int = 2048
    double_latent: Literal[False] = False
    in_channels: Literal[3] = 3
    out_channels: Literal[3] = 3
    num_hidden_layers: Literal[2] = 2
    hidden_act: Literal["gelu"] = "gelu"


class JanusFile(BaseModel):
    """config.json, with the defaults of the format; types say what this project can run."""

    model_config = _AS_WRITTEN

    text_config: LlamaFile = LlamaFile()
    vision_config: VisionFile = VisionFile()
    vq_config: ImageTokenizerFile = ImageTokenizerFile()
    image_token_id: int = 100_581
    tie_word_embeddings: bool = True
    quantization_config: None = None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        width, patches = self.text_config.hidden_size, self.vision_config.grid**2
        for name, value, allowed in (
            ("vision_config.projection_dim", self.vision_config.projection_dim, width),
            ("vision_config.num_image_tokens", self.vision_config.num_image_tokens, patches),
            ("vq_config.projection_dim", self.vq_config.projection_dim, width),
            ("vq_config.image_token_embed_dim", self.vq_config.image_token_embed_dim, width),
        ):
            if value != allowed:
                raise ValueError(f"{name} is {value}; with the other sizes it must be {allowed}")
        return self


class SizeFile(BaseModel):
    """`size` of preprocessor_config.json."""

    model_config = _AS_WRITTEN

    height: int
    width: int


class PixelsFile(BaseModel):
    """preprocessor_config.json."""

    model_config = _AS_WRITTEN

    image_mean: Colour
    image_std: Colour
    size: SizeFile
    min_size: int = 14
    resample: Literal[3] = Field(3, description="Pillow's number of bicubic")
    rescale_factor: float = Field(1 / 255, gt=0.0039, lt=0.00393, description="of 0..255 to 0..1")
    do_resize: Literal[True] = True
    do_rescale: Literal[True] = True
    do_normalize: Literal[True] = True
    do_pad: Literal[True] = True


def describe_janus(folder: FamilyFolder) -> Description:
    """Raises CheckpointError, ValidationError."""
    file, pixels = JanusFile.model_validate(folder.config), _pixels(folder)
    side = file.vision_config.image_size
    if (pixels.size.height, pixels.size.width) != (side, side):
        raise CheckpointError(
            f"size is {pixels.size.height}×{pixels.size.width} in preprocessor_config.json; the"
            f" vision tower takes {side}×{side}"
        )
    tokens = FolderTokens(folder)
    names = (
        tokens.named("boi_token", "<begin_of_image>"),
        tokens.named("eoi_token", "<end_of_image>"),
    )
    begin_of_image, end_of_image = map(tokens.id_named, names)
    special = replace(
        tokens.special(folder.config, folder.config.get("text_config", {})),
        image=file.image_token_id,
        begin_of_image=begin_of_image,
        end_of_image=end_of_image,
    )
    chat = janus_format(tokens.name(special.end), *names)
    red, green, blue = (int(255 * mean) for mean in pixels.image_mean)
    return Description(
        _omni_config(file, pixels, has_tied_head(folder, file.tie_word_embeddings)),
        tokens.scheme(chat, special, file.text_config.vocab_size),
        SquarePadding((red, green, blue), pixels.min_size),
    )


# What remains once `model.` is taken off; the rest has the same names on both sides.
_RENAMED = (
    ("vision_model.embeddings.patch_embedding.", "vision_model.patch_embedding."),
    ("vision_model.embeddings.position_embedding.weight", "vision_model.position_embedding"),
    ("vision_model.encoder.layers.", "vision_model.layers."),
    ("vqmodel.quant_conv.", "vqmodel.encoder.quant_conv."),
    ("vqmodel.post_quant_conv.", "vqmodel.decoder.post_quant_conv."),
    (".downsample.", ".resample."),
    (".upsample.", ".resample."),
    (".nin_shortcut.", ".shortcut."),
)


def janus_name(name: str) -> str:
    """How OmniModel names a weight."""
    name = name.removeprefix("model.")
    for theirs, ours in _RENAMED:
        name = name.replace(theirs, ours)
    return name


def _pixels(folder: FamilyFolder) -> PixelsFile:
    """From the file of the image processor, or its section in the file of the whole processor."""
    content = folder.json_of("preprocessor_config.json") or folder.json_of(
        "processor_config.json"
    ).get("image_processor")
    if not content:
        raise CheckpointError(
            f"{folder.path} lacks preprocessor_config.json, which says how pixels are normalised"
        )
    return PixelsFile.model_validate(content)


def _omni_config(file: JanusFile, pixels: PixelsFile, tied_head: bool) -> OmniConfig:
    vision, vq = file.vision_config, file.vq_config
    return OmniConfig(
        decoder=file.text_config.decoder(tied_head),
        vision=JanusVisionConfig(
            tile_size=vision.image_size,
            patch_size=vision.patch_size,
            width=vision.hidden_size,
            num_layers=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            mlp_width=int(vision.hidden_size * vision.mlp_ratio),
            norm_eps=vision.layer_norm_eps,
            pixel_mean=pixels.image_mean,
            pixel_std=pixels.image_std,
        ),
        vq=JanusImageTokenizerConfig(
            image_size=vision.grid << (len(vq.channel_multiplier) - 1),
            channels=tuple(vq.base_channels * m for m in vq.channel_multiplier),
            blocks_per_level=vq.num_res_blocks,
            latent_channels=vq.latent_channels,
            codebook_size=vq.num_embeddings,
            code_width=vq.embed_dim,
        ),
        generation=GenerationConfig(embedding_width=vq.embed_dim),
        image_token=file.image_token_id,
        audio_token=None,
        video_token=None,
    )
