"""A random model of the sizes of the world (32×32 pictures of 64 codes) that starts at once."""

from pathlib import Path

import torch

from models import checkpoint
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
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.common.world.items import make_item

CONFIG = OmniConfig(
    decoder=DecoderConfig(
        vocab_size=320, width=32, num_layers=2, num_heads=2, num_kv_heads=1, head_size=16,
        mlp_width=48, max_length=512,
    ),
    vision=VisionConfig(stem_width=8, width=32, num_layers=1, num_heads=2, mlp_width=32),
    audio=AudioConfig(
        num_mels=16, window_frames=80, width=32, num_layers=1, num_heads=2, mlp_width=32
    ),
    video=VideoConfig(time_width=4),
    vq=ImageTokenizerConfig(channels=(8, 8, 8), norm_groups=4, codebook_size=64),
    generation=GenerationConfig(embedding_width=8),
)  # fmt: skip


def save_tiny_model(folder: Path, seed: int = 1) -> Path:
    """Writes a checkpoint that the policy service can be given as its base."""
    checkpoint.save(folder, make_model(seed), make_preprocessor())
    return folder


def make_model(seed: int = 1) -> OmniModel:
    """Random weights, with heads scaled so that distributions are far from uniform."""
    model = OmniModel(CONFIG, seed=seed)
    with torch.no_grad():
        model.lm_head.weight *= 2
        model.generation_head.vision_head.weight *= 2
    return model.eval()


def make_preprocessor() -> Preprocessor:
    """Its tokenizer knows some of the world's words."""
    corpus = [make_item("caption", "train", i).target_text or "" for i in range(50)]
    tokenizer = Tokenizer.train(corpus, vocab_size=CONFIG.decoder.vocab_size)
    return Preprocessor(checkpoint.preprocessing_of(CONFIG), tokenizer)
