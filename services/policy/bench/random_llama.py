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
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

_SPECIALS = ["<unk>", "<s>", "</s>"]


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
_MAX_LENGTH = 2048


def write_random_llama(folder: Path, size: Size, dtype: torch.dtype, seed: int = 0) -> int:
    """Writes weights, configuration and a tokenizer; returns the number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _weight(shape, generator).to(dtype) for name, shape in _shapes(size).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(size, dtype), indent=1))
    _write_tokenizer(folder, size.vocab_size)
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


def _config(size: Size, dtype: torch.dtype) -> dict[str, object]:
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
        "max_position_embeddings": _MAX_LENGTH,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }


def _write_tokenizer(folder: Path, vocab_size: int) -> None:
    """Bytes and made-up words, filled up to the size of the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"word{n * n} {n}" for n in range(4 * vocab_size)), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    generation = {"bos_token_id": 1, "eos_token_id": 2, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(generation))


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
