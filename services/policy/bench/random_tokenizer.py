"""Tokenizers of random checkpoints: bytes and made-up words, filled up to the vocabulary's size."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def write_tokenizer(folder: Path, vocab_size: int, specials: Sequence[str]) -> None:
    """`specials` are the first ids; bos and eos are the second and the third of them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f"word{n * n} {n}" for n in range(4 * vocab_size)), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": specials[0],
        "pad_token": specials[0],
        "bos_token": specials[1],
        "eos_token": specials[2],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(generation))
