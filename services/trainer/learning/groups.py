"""What a step learns from: prompts as the model saw them, each with its sampled answers.

Legend: L prompt length, T answer length.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.media_arrays import MediaArrays


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Token ids as they were sampled, never re-tokenised.

    `supports` is empty, or holds for each token the ids it was drawn from (None: all of its kind).
    An answer to be imitated has no sampler: its log-probabilities are zero.
    """

    token_ids_T: NDArray[np.int64]
    sampler_logprobs_T: NDArray[np.float32]
    supports: tuple[NDArray[np.int64] | None, ...] = ()
    reward: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PromptGroup:
    """One prompt and those of its answers that can be learned from."""

    prompt_ids_L: NDArray[np.int64]
    media: MediaArrays
    answers: tuple[Answer, ...]

    @property
    def longest_answer(self) -> int:
        """In tokens."""
        return max(len(answer.token_ids_T) for answer in self.answers)
