"""Random checkpoints of Llama's class in Hugging Face's format, which every system can read.

`python -m services.policy.bench.random_llama FOLDER SIZE DTYPE` makes one and says what it holds;
with seeds after that, one in FOLDER/SEED for each.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from services.policy.bench.random_tokenizer import write_tokenizer

_SPECIALS = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True, slots=True)
class Size:
    """A shape by its number of parameters."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    mlp_width: int


SIZES = {
    "5m": Size(4096, 256, 4, 8, 4, 704),
    "125m": Size(24_000, 768, 12, 12, 12, 2048),
}
MAX_LENGTH = 2048
# Of a conversation the ids remain, and bos before them.
_NO_CHAT = {"system": ("", ""), "user": ("", ""), "assistant": ("", "</s>")}


def write_random_llama(folder: Path, size: Size, dtype: torch.dtype, seed: int = 0) -> int:
    """Writes weights, configuration and a tokenizer; returns the number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _weight(shape, generator).to(dtype) for name, shape in _shapes(size).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(llama_config(size, dtype), indent=1))
    (folder / "chat_format.json").write_text(json.dumps(_NO_CHAT))
    write_tokenizer(folder, size.vocab_size, _SPECIALS)
    return sum(tensor.numel() for tensor in tensors.values())


def _weight(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Norms are one; rows of matrices have a norm of about one."""
    if len(shape) == 1:
        return torch.ones(shape)
    return torch.randn(shape, generator=generator).div(shape[1] ** 0.5)


def _shapes(size: Size) -> dict[str, tuple[int, ...]]:
    width, head = size.width, size.width // size.num_heads
    kv_width = head * size.num_kv_heads
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (size.vocab_size, width)}
    for layer in range(size.num_layers):
        prefix = f"model.layers.{layer}."
        shapes |= {
            f"{prefix}input_layernorm.weight": (width,),
            f"{prefix}self_attn.q_proj.weight": (width, width),
            f"{prefix}self_attn.k_proj.weight": (kv_width, width),
            f"{prefix}self_attn.v_proj.weight": (kv_width, width),
            f"{prefix}self_attn.o_proj.weight": (width, width),
            f"{prefix}post_attention_layernorm.weight": (width,),
            f"{prefix}mlp.gate_proj.weight": (size.mlp_width, width),
            f"{prefix}mlp.up_proj.weight": (size.mlp_width, width),
            f"{prefix}mlp.down_proj.weight": (width, size.mlp_width),
        }
    return shapes | {"model.norm.weight": (width,), "lm_head.weight": (size.vocab_size, width)}


def llama_config(size: Size, dtype: torch.dtype) -> dict[str, object]:
    """config.json, or Janus' section of it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": size.vocab_size,
        "hidden_size": size.width,
        "intermediate_size": size.mlp_width,
        "num_hidden_layers": size.num_layers,
        "num_attention_heads": size.num_heads,
        "num_key_value_heads": size.num_kv_heads,
        "head_dim": size.width // size.num_heads,
        "max_position_embeddings": MAX_LENGTH,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def main() -> None:
    folder, size_name, dtype_name, *seeds = sys.argv[1:]
    size, dtype = SIZES[size_name], getattr(torch, dtype_name)
    targets = {Path(folder) / seed: int(seed) for seed in seeds} or {Path(folder): 0}
    for target, seed in targets.items():
        count = write_random_llama(target, size, dtype, seed)
    looked_up = size.vocab_size * size.width
    described = {
        "num_parameters": count,
        "num_looked_up": looked_up,
        "vocab_size": size.vocab_size,
    }
    print(json.dumps(described))


if __name__ == "__main__":
    main()
