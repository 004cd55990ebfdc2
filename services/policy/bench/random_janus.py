"""A random Janus in Hugging Face's format, small, with the decoder of a random Llama.

`python -m services.policy.bench.random_janus FOLDER SIZE DTYPE` makes one and says what it holds.
Weights are those of a fresh OmniModel under the names that transformers gives them.
"""

import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.families.loading import describe
from models.omni import OmniModel
from services.policy.bench.random_llama import SIZES, Size, llama_config
from services.policy.bench.random_tokenizer import write_tokenizer

_SPECIALS = (
    *("<pad>", "<s>", "</s>", "<|User|>", "<|Assistant|>"),
    *("<image_placeholder>", "<begin_of_image>", "<end_of_image>"),
)
_PATCH_PIXELS, _GRID = 8, 16  # 256 codes
_NUM_CODES = 4096
# The inverse of models/families/janus.py.
_THEIR_NAMES = (
    (r"^vision_model\.patch_embedding\.", "vision_model.embeddings.patch_embedding."),
    (r"^vision_model\.position_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^vision_model\.layers\.", "vision_model.encoder.layers."),
    (r"^vqmodel\.encoder\.quant_conv\.", "vqmodel.quant_conv."),
    (r"^vqmodel\.decoder\.post_quant_conv\.", "vqmodel.post_quant_conv."),
    (r"^(vqmodel\.encoder\..*)\.resample\.", r"\1.downsample."),
    (r"^(vqmodel\.decoder\..*)\.resample\.", r"\1.upsample."),
    (r"\.shortcut\.", ".nin_shortcut."),
    (r"^(?!lm_head\.)", "model."),
)


_BUFFERS = {"vision_model.mean", "vision_model.std"}  # of preprocessor_config.json


def write_random_janus(folder: Path, size: Size, dtype: torch.dtype, seed: int = 0) -> int:
    """Writes all that is needed to load it; returns the number of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, size.vocab_size, _SPECIALS)
    (folder / "config.json").write_text(json.dumps(_config(size, dtype), indent=1))
    (folder / "preprocessor_config.json").write_text(json.dumps(_pixels()))
    # describe() looks for a head among the weights.
    save_file({"lm_head.weight": torch.zeros(1)}, folder / "model.safetensors")
    weights = OmniModel(describe(folder).config, seed).state_dict()
    tensors = {
        _their_name(name): tensor.to(dtype).contiguous()
        for name, tensor in weights.items()
        if not name.startswith("value_head.") and name not in _BUFFERS
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return sum(tensor.numel() for tensor in tensors.values())


def _their_name(name: str) -> str:
    for ours, theirs in _THEIR_NAMES:
        name = re.sub(ours, theirs, name)
    return name


def _config(size: Size, dtype: torch.dtype) -> dict[str, object]:
    return {
        "architectures": ["JanusForConditionalGeneration"],
        "model_type": "janus",
        "image_token_id": _SPECIALS.index("<image_placeholder>"),
        "tie_word_embeddings": False,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "text_config": {**llama_config(size, dtype), "pad_token_id": 0},
        "vision_config": {
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": _GRID * _PATCH_PIXELS,
            "patch_size": _PATCH_PIXELS,
            "projection_dim": size.width,
            "num_image_tokens": _GRID**2,
        },
        "vq_config": {
            "embed_dim": 8,
            "num_embeddings": _NUM_CODES,
            "num_patches": _GRID,
            "latent_channels": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 2],
            "num_res_blocks": 1,
            "projection_dim": size.width,
            "image_token_embed_dim": size.width,
        },
    }


def _pixels() -> dict[str, object]:
    side = _GRID * _PATCH_PIXELS
    return {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"height": side, "width": side},
    }


def main() -> None:
    folder, size_name, dtype_name = sys.argv[1:]
    size = SIZES[size_name]
    count = write_random_janus(Path(folder), size, getattr(torch, dtype_name))
    described = {
        "num_parameters": count,
        "num_looked_up": size.vocab_size * size.width,
        "vocab_size": size.vocab_size,
        "drawing": {
            "begin_of_image": _SPECIALS.index("<begin_of_image>"),
            "tokens_per_image": _GRID**2,
        },
    }
    print(json.dumps(described))


if __name__ == "__main__":
    main()
