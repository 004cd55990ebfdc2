import pytest
import torch

from models.checkpoint import Checkpoint
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
from models.preprocessing.preprocessor_config import PreprocessorConfig
from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def preprocessor() -> Preprocessor:
    tokenizer = Tokenizer.train(["a red circle above a blue square", "draw it"] * 4, 290)
    return Preprocessor(
        PreprocessorConfig(tile_size=8, patches_per_tile=4, codebook_size=16), tokenizer
    )


@pytest.fixture(scope="session")
def config(preprocessor: Preprocessor) -> OmniConfig:
    return OmniConfig(
        decoder=DecoderConfig(
            vocab_size=preprocessor.tokenizer.vocab_size, width=16, num_layers=2, head_size=8,
            num_heads=2, num_kv_heads=1, mlp_width=24, max_length=64,
        ),
        vision=VisionConfig(tile_size=8, stem_width=4, width=12, num_layers=1, num_heads=2),
        audio=AudioConfig(
            num_mels=8, window_frames=32, width=12, num_layers=1, num_heads=2, mlp_width=16
        ),
        video=VideoConfig(time_width=4),
        vq=ImageTokenizerConfig(
            image_size=8, channels=(4, 4, 8), norm_groups=2, codebook_size=16, code_width=4
        ),
        generation=GenerationConfig(embedding_width=6),
        image_token=preprocessor.tokenizer.special.image,
    )  # fmt: skip


@pytest.fixture
def checkpoint(config: OmniConfig, preprocessor: Preprocessor) -> Checkpoint:
    """Random weights; the value head too, which is zero in a fresh model."""
    model = OmniModel(config, seed=1).eval()
    torch.nn.init.normal_(model.value_head.weight, generator=torch.Generator().manual_seed(2))
    return Checkpoint(model, preprocessor)
