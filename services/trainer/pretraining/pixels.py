"""Between the world's pixels and the model's tensors. Legend: N pictures, S side."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_model(pixels_NSS3: NDArray[np.uint8]) -> Tensor:
    """float32 [N, 3, S, S] in 0..1."""
    return torch.from_numpy(pixels_NSS3).permute(0, 3, 1, 2).contiguous().float() / 255


def to_pixels(images_N3SS: Tensor) -> NDArray[np.uint8]:
    """uint8 [N, S, S, 3]."""
    pixels: NDArray[np.uint8] = (images_N3SS * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels)
