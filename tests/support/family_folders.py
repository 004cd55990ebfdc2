"""The files beside the weights of a folder of Hugging Face format, tiny and made by the tests."""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

NUM_IDS = 320  # of the models; the tokenizer knows fewer
LLAMA_SPECIALS = ("<unk>", "<s>", "</s>")
JANUS_SPECIALS = (
    *("<pad>", "<s>", "</s>", "<|User|>", "<|Assistant|>"),
    *("<image_placeholder>", "<begin_of_image>", "<end_of_image>"),
)
TEXTS = ["a red circle above a blue square", "User: what colour is it?\n\nAssistant: red"]


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
