"""Pictures through the image tokenizer and back: `python -m services.trainer.round_trip`.

What comes back is the best that a policy with this tokenizer could draw; the command line measures
it as a ceiling, and imports no torch itself.
"""

import argparse
from pathlib import Path

import torch

from models import checkpoint
from models.preprocessing.images import MediaLimits, encode_png, tiles_from_picture
from services.trainer.pretraining.pixels import to_model, to_pixels


def round_trip(checkpoint_folder: Path, pictures: Path, out: Path) -> int:
    """Writes each PNG of a folder, as it comes back, under the same name; how many there were."""
    model = checkpoint.load(checkpoint_folder).model
    size, limits = model.config.vq.image_size, MediaLimits(max_tiles=1)
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(pictures.glob("*.png"))
    for path in paths:
        tile_1SS3 = tiles_from_picture(path.read_bytes(), size, limits)
        with torch.no_grad():
            images_13SS = model.vqmodel.decode(model.vqmodel.encode(to_model(tile_1SS3)))
        (out / path.name).write_bytes(encode_png(to_pixels(images_13SS)[0]))
    return len(paths)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    round_trip(asked.checkpoint, asked.pictures, asked.out)


if __name__ == "__main__":
    main()
