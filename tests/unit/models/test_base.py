from pathlib import Path

from models.checkpoint import load
from services.common.world.sampling import DEFAULT_LEVEL
from services.trainer.pretraining.picture_codes import round_trip_strict

BASE = Path(__file__).parents[3] / "models/base"


def test_the_shipped_base_is_small_and_uses_its_pixel_numbers_as_tokens() -> None:
    tokenizer = load(BASE).preprocessor.tokenizer
    assert sum(file.stat().st_size for file in BASE.iterdir()) <= 20 * 2**20
    assert all(len(tokenizer.encode(f" {number}")) == 1 for number in range(33))


def test_drawings_survive_the_shipped_image_tokenizer() -> None:
    vqmodel = load(BASE).model.vqmodel
    assert round_trip_strict(vqmodel, DEFAULT_LEVEL, num_items=200) >= 0.97
