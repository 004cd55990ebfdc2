"""Folders of Hugging Face format, tiny and made by the tests, without transformers."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

NUM_IDS = 320  # of the models; the tokenizer knows fewer
LLAMA_SPECIALS = ("<unk>", "<s>", "</s>")
JANUS_SPECIALS = (
    *("<pad>", "<s>", "</s>", "<|User|>", "<|Assistant|>"),
    *("<image_placeholder>", "<begin_of_image>", "<end_of_image>"),
)
LLAMA = {
    "model_type": "llama", "vocab_size": NUM_IDS, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 64, "eos_token_id": 2, "tie_word_embeddings": True,
}  # fmt: skip
JANUS = {
    "model_type": "janus",
    "image_token_id": JANUS_SPECIALS.index("<image_placeholder>"),
    "tie_word_embeddings": False,
    "text_config": {**LLAMA, "tie_word_embeddings": False},
    "vision_config": {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8, "projection_dim": 32, "num_image_tokens": 16,
    },
    "vq_config": {
        "embed_dim": 8, "num_embeddings": 48, "latent_channels": 32, "base_channels": 32,
        "channel_multiplier": [1, 2], "projection_dim": 32, "image_token_embed_dim": 32,
    },
}  # fmt: skip
TEXTS = ["a red circle above a blue square", "User: what colour is it?\n\nAssistant: red"]


def write_llama(
    folder: Path, num_shards: int = 1, extra: dict[str, torch.Tensor] | None = None, **changes
) -> None:
    """A whole folder of random weights; `changes` are those of config.json."""
    write_tokenizer(folder, LLAMA_SPECIALS)
    config = {**LLAMA, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {**_llama_weights(config), **(extra or {})}
    if num_shards == 1:
        return save_file(tensors, folder / "model.safetensors")
    weight_map = {name: f"part-{i % num_shards}.safetensors" for i, name in enumerate(tensors)}
    for shard in set(weight_map.values()):
        save_file({n: t for n, t in tensors.items() if weight_map[n] == shard}, folder / shard)
    return write_index(folder, weight_map)


def write_index(folder: Path, weight_map: dict[str, str]) -> None:
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_janus_config(folder: Path, **changes) -> None:
    """All but the weights."""
    write_tokenizer(folder, JANUS_SPECIALS, pad_token="<pad>")
    write_pixels(folder, 32)
    (folder / "config.json").write_text(json.dumps({**JANUS, **changes}))


def _llama_weights(config: dict) -> dict[str, torch.Tensor]:
    width, mlp_width = config["hidden_size"], config["intermediate_size"]
    kv_width = width // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": (NUM_IDS, width), "model.norm.weight": (width,)}
    for layer in range(config["num_hidden_layers"]):
        of_layer = {
            "input_layernorm": (width,),
            "post_attention_layernorm": (width,),
            "self_attn.q_proj": (width, width),
            "self_attn.k_proj": (kv_width, width),
            "self_attn.v_proj": (kv_width, width),
            "self_attn.o_proj": (width, width),
            "mlp.gate_proj": (mlp_width, width),
            "mlp.up_proj": (mlp_width, width),
            "mlp.down_proj": (width, mlp_width),
        }
        shapes |= {f"model.layers.{layer}.{n}.weight": shape for n, shape in of_layer.items()}
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write_tokenizer(folder: Path, specials: tuple[str, ...], **settings: object) -> Tokenizer:
    """tokenizer.json and tokenizer_config.json; returns the tokenizer as others would use it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=NUM_IDS - 10,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return tokenizer


def write_pixels(folder: Path, side: int) -> None:
    """preprocessor_config.json, with a mean that is no round number."""
    pixels = {
        "image_mean": [0.5, 0.47, 0.41],
        "image_std": [0.5, 0.25, 0.27],
        "size": {"height": side, "width": side},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
