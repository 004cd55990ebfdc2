"""A tiny model with a real tokenizer, and groups of answers that its grammar allows."""

import numpy as np
import pytest

from models.checkpoint import Checkpoint, preprocessing_of
from models.config import (
    AudioConfig,
    DecoderConfig,
    GenerationConfig,
    ImageTokenizerConfig,
    OmniConfig,
    VideoConfig,
    VisionConfig,
)
from models.omni import OmniModel
from models.preprocessing.conversation import Picture, Role, Text, Turn
from models.preprocessing.images import encode_png
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.trainer.learning.groups import Answer, PromptGroup


@pytest.fixture(scope="session")
def tokenizer():
    corpus = ["what color is the red circle left of a blue square", "draw a green cross"]
    return Tokenizer.train(corpus, vocab_size=300)


@pytest.fixture
def checkpoint(tokenizer):
    vq = ImageTokenizerConfig(channels=(8, 8, 8), norm_groups=4, codebook_size=16, code_width=4)
    config = OmniConfig(
        decoder=DecoderConfig(
            vocab_size=tokenizer.vocab_size, width=32, num_layers=2, num_heads=4, num_kv_heads=2,
            head_size=8, mlp_width=48, max_length=256,
        ),
        vision=VisionConfig(width=32, num_layers=1, num_heads=2, mlp_width=48, stem_width=8),
        audio=AudioConfig(
            num_mels=16, window_frames=80, width=32, num_layers=1, num_heads=2, mlp_width=32
        ),
        video=VideoConfig(time_width=4),
        vq=vq,
        generation=GenerationConfig(embedding_width=8),
        image_token=tokenizer.special.image,
    )  # fmt: skip
    preprocessor = Preprocessor(preprocessing_of(config), tokenizer)
    return Checkpoint(OmniModel(config, seed=1).eval(), preprocessor)


@pytest.fixture
def groups(checkpoint):
    """Three groups: about a picture, without one, and a picture to be drawn."""
    rng = np.random.default_rng(0)
    special = checkpoint.preprocessor.tokenizer.special
    pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    asked = (Turn(Role.USER, (Picture(encode_png(pixels)), Text("what color is it"))),)
    plain = (Turn(Role.USER, (Text("left of what"),)),)

    def text_answer(length):
        return [*rng.integers(20, 300, length - 1).tolist(), special.end]

    def drawn_answer():
        codes = rng.integers(0, 16, checkpoint.grammar.codes_per_image)
        return [*(codes + checkpoint.grammar.vocab_size).tolist(), special.end_of_image]

    return [
        prompt_group(checkpoint, asked, [text_answer(n) for n in (4, 1, 7)]),
        prompt_group(checkpoint, plain, [text_answer(n) for n in (2, 5)]),
        prompt_group(checkpoint, plain, [drawn_answer() for _ in range(2)], begin_image=True),
    ]


def prompt_group(checkpoint, conversation, answers, begin_image=False):
    encoded = checkpoint.preprocessor.encode(conversation, begin_image=begin_image)
    return PromptGroup(
        prompt_ids_L=encoded.token_ids,
        media=encoded.media,
        answers=tuple(
            Answer(np.asarray(ids), np.zeros(len(ids), np.float32), reward=float(i % 2))
            for i, ids in enumerate(answers)
        ),
    )
