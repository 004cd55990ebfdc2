"""A tiny reward model, exported once per process and kind, and items to score. For test_reward*."""

import atexit
import functools
import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from models.checkpoint import preprocessing_of
from models.config import (
    AudioConfig,
    DecoderConfig,
    GenerationConfig,
    ImageTokenizerConfig,
    OmniConfig,
    VideoConfig,
    VisionConfig,
)
from models.export import export_reward
from models.omni import OmniModel
from models.preprocessing.audio import encode_wav
from models.preprocessing.conversation import (
    Audio,
    Conversation,
    Part,
    Picture,
    Role,
    Text,
    Turn,
    Video,
)
from models.preprocessing.images import encode_png
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from models.reward import RewardModel
from models.reward_config import Calibration, RewardConfig
from services.reward.scorers.contract import ScoringItem

MAX_LENGTH = 256
CALIBRATION = Calibration(mean=0.25, std=0.5)
# The reward model's embedding of this character is NaN: an item that ends on it has no score.
POISON = "~"


@functools.cache
def make_preprocessor() -> Preprocessor:
    tokenizer = Tokenizer.train(["a red circle is left of a blue square"] * 4, vocab_size=300)
    return Preprocessor(preprocessing_of(make_config(tokenizer)), tokenizer)


def make_reward(
    attention: str = "causal", pooling: str = "last", num_heads: int = 2, seed: int = 0
) -> RewardModel:
    """Random, tiny, with a value spread that scores can be told apart by."""
    config = make_config(make_preprocessor().tokenizer)
    reward = RewardConfig(attention=attention, pooling=pooling, num_heads=num_heads)
    return RewardModel(OmniModel(config, seed=seed), reward, seed=seed).eval()


def make_config(tokenizer: Tokenizer) -> OmniConfig:
    return OmniConfig(
        decoder=DecoderConfig(
            vocab_size=tokenizer.vocab_size,
            width=32,
            num_layers=2,
            num_heads=4,
            head_size=8,
            mlp_width=48,
            max_length=MAX_LENGTH,
        ),
        vision=VisionConfig(stem_width=8, width=16, num_layers=1, num_heads=2, mlp_width=32),
        audio=AudioConfig(
            num_mels=16, window_frames=80, width=32, num_layers=1, num_heads=2, mlp_width=32
        ),
        video=VideoConfig(time_width=4),
        vq=ImageTokenizerConfig(channels=(8, 8, 8), norm_groups=4),
        generation=GenerationConfig(embedding_width=8),
    )


def exported(attention: str = "causal", pooling: str = "last") -> Path:
    """The folder of an exported model; it lasts as long as the process."""
    return _exported(attention, pooling)


@functools.cache
def _exported(attention: str, pooling: str) -> Path:
    folder = _temporary_folder()
    model = make_reward(attention, pooling)
    export_reward(folder, model, make_preprocessor(), CALIBRATION)
    return folder


@functools.cache
def poisoned() -> Path:
    """`exported()` with the embedding of POISON put to NaN."""
    folder = _temporary_folder()
    shutil.copytree(exported(), folder, dirs_exist_ok=True)
    graph = onnx.load(folder / "trunk.onnx")
    [weights] = [w for w in graph.graph.initializer if w.name.endswith("embed_tokens.weight")]
    table_VD = onnx.numpy_helper.to_array(weights).copy()
    table_VD[make_preprocessor().tokenizer.encode(POISON)] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(table_VD, weights.name))
    onnx.save(graph, folder / "trunk.onnx")
    return folder


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tiny-reward-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def picture(seed: int = 0, width: int = 32, height: int = 32) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encode_png(pixels)


def recording(seed: int = 0) -> bytes:
    """A fraction of a second of noise, from one window to two."""
    samples = np.random.default_rng(seed).normal(size=6_000 + 800 * seed) / 4
    return encode_wav(samples.clip(-1, 1).astype(np.float32), 16_000)


def clip(seed: int = 0) -> bytes:
    """A GIF of three frames of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    first, *rest = [Image.fromarray(frame) for frame in pixels]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=100)
    return file.getvalue()


def asked(text: str = "what is this?", image: bytes | None = None) -> Conversation:
    parts: tuple[Part, ...] = (Text(text),) if image is None else (Picture(image), Text(text))
    return (Turn(Role.USER, parts),)


def answered(*parts: str | bytes) -> Turn:
    given = (Text(part) if isinstance(part, str) else Picture(part) for part in parts)
    return Turn(Role.ASSISTANT, tuple(given))


def item(answer: str | bytes = "a red circle", index: int = 0, **fields: str) -> ScoringItem:
    return ScoringItem(f"item-{index}", asked(image=picture(index)), answered(answer), **fields)


def various_items(count: int) -> list[ScoringItem]:
    """Media of all kinds and text in prompt and answer, of many lengths, no two alike."""
    items: list[ScoringItem] = []
    for i in range(count):
        prompt = asked(f"question {i}", picture(i) if i % 3 else None)
        if i % 5 == 1:
            prompt = (*prompt, Turn(Role.USER, (Audio(recording(i)), Video(clip(i)))))
        answer = answered(picture(100 + i)) if i % 4 == 0 else answered(f"answer {i} " * (i % 7))
        items.append(ScoringItem(f"item-{i}", prompt, answer))
    return items
