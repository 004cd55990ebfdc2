import numpy as np
import torch
from PIL import Image

from models import checkpoint
from services.trainer.pretraining.pixels import to_model, to_pixels
from services.trainer.round_trip import round_trip
from tests.support.tiny_model import save_tiny_model


def test_pictures_come_back_as_the_image_tokenizer_writes_them(tmp_path):
    base = save_tiny_model(tmp_path / "base")
    rng = np.random.default_rng(0)
    pixels_NSS3 = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    for index, pixels_SS3 in enumerate(pixels_NSS3):
        Image.fromarray(pixels_SS3).save(tmp_path / "in" / f"{index}.png")
    assert round_trip(base, tmp_path / "in", tmp_path / "out") == 3
    vqmodel = checkpoint.load(base).model.vqmodel
    with torch.no_grad():
        expected_NSS3 = to_pixels(vqmodel.decode(vqmodel.encode(to_model(pixels_NSS3))))
    for index, expected_SS3 in enumerate(expected_NSS3):
        with Image.open(tmp_path / "out" / f"{index}.png") as picture:
            assert np.array_equal(np.asarray(picture), expected_SS3)
