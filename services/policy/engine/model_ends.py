"""What comes before and after a decoder's layers: encoders, embeddings and heads, on any device.

Legend: T tokens, R rows, F features, D width, V text ids, K codes.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.media import MediaTensors
from models.omni import OmniModel


class ModelEnds:
    """Copies; the model stays where it is. Encoders remain float32: a medium is encoded once."""

    def __init__(self, model: OmniModel, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._embedding_VD = embedding_VD(model).to(device, dtype)
        self._text_head_VD = model.text_head_VD.detach().to(device, dtype, copy=True)
        self._code_head = None
        if model.config.vq is not None:
            self._code_head = copy.deepcopy(model.generation_head).to(device, dtype)
        self._encoders = copy.deepcopy(without_language_model(model)).to(device, torch.float32)

    def encode_media(self, media: MediaTensors) -> Tensor:
        """features_FD as prompts take them."""
        features_FD = self._encoders.encode_media(media.to(self.device))
        assert features_FD is not None
        return features_FD.to(self.dtype)

    def embed(self, ids_T: NDArray[np.int64]) -> Tensor:
        """hidden_TD of text ids and codes."""
        return self._embedding_VD[torch.from_numpy(ids_T).to(self.device)]

    def text_logits(self, hidden_RD: Tensor) -> Tensor:
        """logits_RV, float32."""
        return F.linear(hidden_RD, self._text_head_VD).float()

    def code_logits(self, hidden_RD: Tensor) -> Tensor:
        """logits_RK, float32."""
        assert self._code_head is not None
        logits_RK: Tensor = self._code_head(hidden_RD)
        return logits_RK.float()


def without_language_model(model: OmniModel) -> OmniModel:
    """A model that shares its tensors with another, and has neither decoder nor text head."""
    shared: dict[int, object] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    shared[id(model.language_model)] = nn.Identity()
    if not model.config.decoder.tied_head:
        shared[id(model.lm_head)] = nn.Identity()
    return copy.deepcopy(model, shared)


def embedding_VD(model: OmniModel) -> Tensor:
    """Of all text ids, then of all codes, so that a step looks up and multiplies nothing."""
    text_VD = model.language_model.embed_tokens.weight.detach()
    if model.config.vq is None:
        return text_VD.float()
    with torch.inference_mode():
        codes_KD = model.generation_aligner(model.generation_embeddings.weight)
        return torch.cat([text_VD, codes_KD]).float()
