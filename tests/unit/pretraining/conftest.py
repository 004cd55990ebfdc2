from collections.abc import Iterator

import pytest
import torch

from models.config import (
    AudioConfig,
    DecoderConfig,
    GenerationConfig,
    ImageTokenizerConfig,
    OmniConfig,
    VideoConfig,
    VisionConfig,
)
from services.common.world.families.exercise import ALL_FAMILIES
from services.trainer.pretraining.config import (
    ModelStage,
    PictureCodesStage,
    PretrainConfig,
    TokenizerStage,
    ValidationStage,
)


@pytest.fixture
def config() -> PretrainConfig:
    """Seconds of work through every phase of a run."""
    return PretrainConfig(
        threads=1,
        checkpoint_every=4,
        model=OmniConfig(
            decoder=DecoderConfig(
                vocab_size=300, width=16, num_layers=1, head_size=8, num_heads=2,
                num_kv_heads=1, mlp_width=24,
            ),
            vision=VisionConfig(stem_width=4, width=16, num_layers=1, num_heads=2, mlp_width=16),
            audio=AudioConfig(width=16, num_layers=1, num_heads=2, mlp_width=16),
            video=VideoConfig(time_width=4),
            vq=ImageTokenizerConfig(channels=(4, 4, 4), norm_groups=2, codebook_size=16),
            generation=GenerationConfig(embedding_width=8),
        ),
        tokenizer=TokenizerStage(vocab_size=300, items_per_family=20),
        picture_codes=PictureCodesStage(steps=52, batch_size=2, revive_every=7),
        training=ModelStage(
            items_per_step=dict.fromkeys(ALL_FAMILIES, 1), warmup_steps=2, max_stable_steps=7,
            decay_steps=4,
        ),
        validation=ValidationStage(every=3, loss_items=2, score_items=0),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
