"""Pictures through the image tokenizer and back: `python -m services.trainer.round_trip`.

What comes back is the best that a policy with this tokenizer could draw; the command line measures
it as a ceiling, and imports no torch itself.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models import checkpoint
from models.image_tokenizer import ImageTokenizer
from models.preprocessing.images import MediaLimits, encode_png, tiles_from_picture
from services.trainer.pretraining.pixels import to_model, to_pixels

_BATCH = 32


def round_trip(checkpoint_folder: Path, pictures: Path, out: Path) -> int:
    """Writes each PNG of a folder, as it comes back, under the same name; how many there were."""
    vqmodel = checkpoint.load(checkpoint_folder).model.vqmodel
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(pictures.glob("*.png"))
    for start in range(0, len(paths), _BATCH):
        _round_trip(vqmodel, paths[start : start + _BATCH], out)
    return len(paths)


def _round_trip(vqmodel: ImageTokenizer, paths: Sequence[Path], out: Path) -> None:
    size, limits = vqmodel.config.image_size, MediaLimits(max_tiles=1)
    tiles_NSS3 = np.concatenate([tiles_from_picture(p.read_bytes(), size, limits) for p in paths])
    with torch.no_grad():
        images_N3SS = vqmodel.decode(vqmodel.encode(to_model(tiles_NSS3)))
    for path, pixels_SS3 in zip(paths, to_pixels(images_N3SS), strict=True):
        (out / path.name).write_bytes(encode_png(pixels_SS3))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # a second one spins more than it computes on pictures so small
    round_trip(asked.checkpoint, asked.pictures, asked.out)


if __name__ == "__main__":
    main()
