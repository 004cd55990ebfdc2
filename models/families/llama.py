"""Llama's class: Llama, Mistral, Qwen2. What their config.json says, and how they name weights."""

from typing import Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from models.config import DecoderConfig, LinearRope, Llama3Rope, OmniConfig
from models.families.chat_formats import llama_format
from models.families.description import Description
from models.families.folder import FamilyFolder
from models.families.tokens import FolderTokens

_AS_WRITTEN = ConfigDict(frozen=True, extra="ignore")


class RopeFile(BaseModel):
    """`rope_parameters`, or `rope_scaling` beside `rope_theta` in older files."""

    model_config = _AS_WRITTEN

    rope_type: Literal["default", "linear", "llama3"] = Field(
        "default", validation_alias=AliasChoices("rope_type", "type")
    )
    rope_theta: float | None = None
    factor: float | None = None
    low_freq_factor: float | None = None
    high_freq_factor: float | None = None
    original_max_position_embeddings: int | None = None
    partial_rotary_factor: float = Field(1.0, ge=1, le=1)

    def scaling(self, max_length: int) -> LinearRope | Llama3Rope | None:
        """Raises ValidationError where a number is missing."""
        if self.rope_type == "default":
            return None
        if self.rope_type == "linear":
            return LinearRope.model_validate({"factor": self.factor})
        return Llama3Rope.model_validate(
            {
                "factor": self.factor,
                "low_freq_factor": self.low_freq_factor,
                "high_freq_factor": self.high_freq_factor,
                "original_length": self.original_max_position_embeddings or max_length,
            }
        )


class LlamaFile(BaseModel):
    """config.json, with the defaults of the format; types say what this project can run."""

    model_config = _AS_WRITTEN

    vocab_size: int = 32_000
    hidden_size: int = 4096
    intermediate_size: int = 11_008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    rope_parameters: RopeFile | None = None
    rope_scaling: RopeFile | None = None
    rope_theta: float = 10_000.0
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    partial_rotary_factor: float = Field(1.0, ge=1, le=1)
    quantization_config: None = None
    sliding_window: int | None = None
    use_sliding_window: bool = True
    layer_types: tuple[Literal["full_attention"], ...] | None = None

    @model_validator(mode="after")
    def _attends_to_all(self) -> Self:
        window = self.sliding_window if self.use_sliding_window else None
        if window is not None and window < self.max_position_embeddings:
            raise ValueError(
                f"sliding_window is {window}; allowed: null, or at least max_position_embeddings"
                f" {self.max_position_embeddings} (lower that to serve shorter contexts)"
            )
        return self

    def decoder(self, tied_head: bool, qkv_bias: bool = False) -> DecoderConfig:
        """Our section for it. Raises ValidationError."""
        rope = self.rope_parameters or self.rope_scaling or RopeFile()
        return DecoderConfig(
            vocab_size=self.vocab_size,
            width=self.hidden_size,
            num_layers=self.num_hidden_layers,
            num_heads=self.num_attention_heads,
            num_kv_heads=self.num_key_value_heads or self.num_attention_heads,
            head_size=self.head_dim or self.hidden_size // self.num_attention_heads,
            mlp_width=self.intermediate_size,
            rope_theta=rope.rope_theta or self.rope_theta,
            rope_scaling=rope.scaling(self.max_position_embeddings),
            qkv_bias=qkv_bias,
            tied_head=tied_head,
            norm_eps=self.rms_norm_eps,
            max_length=self.max_position_embeddings,
        )


class MistralFile(LlamaFile):
    """Its window counts where the file says nothing."""

    sliding_window: int | None = 4096


class Qwen2File(LlamaFile):
    """Its window counts only where the file says so."""

    use_sliding_window: bool = False


def describe_llama(folder: FamilyFolder) -> Description:
    """Raises CheckpointError, ValidationError."""
    return _described(folder, LlamaFile.model_validate(folder.config))


def describe_mistral(folder: FamilyFolder) -> Description:
    """Raises CheckpointError, ValidationError."""
    return _described(folder, MistralFile.model_validate(folder.config))


def describe_qwen2(folder: FamilyFolder) -> Description:
    """Raises CheckpointError, ValidationError."""
    return _described(folder, Qwen2File.model_validate(folder.config), qkv_bias=True)


def llama_name(name: str) -> str | None:
    """How OmniModel names a weight; None for one that it computes."""
    if name.endswith("rotary_emb.inv_freq"):
        return None
    return f"language_model.{name.removeprefix('model.')}" if name.startswith("model.") else name


def has_tied_head(folder: FamilyFolder, says_tied: bool) -> bool:
    """A head that the folder holds is used, whatever its configuration says."""
    return says_tied and "lm_head.weight" not in folder.tensor_names


def _described(folder: FamilyFolder, file: LlamaFile, qkv_bias: bool = False) -> Description:
    tied_head = has_tied_head(folder, file.tie_word_embeddings)
    tokens = FolderTokens(folder)
    special = tokens.special(folder.config)
    chat = llama_format(tokens.name(special.end))
    config = OmniConfig(
        decoder=file.decoder(tied_head, qkv_bias),
        vision=None,
        vq=None,
        generation=None,
        image_token=None,
        audio_token=None,
        video_token=None,
    )
    return Description(config, tokens.scheme(chat, special, file.vocab_size))
