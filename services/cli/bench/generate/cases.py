"""What is asked of every contestant: answers in closed loops, groups on long prompts, pictures."""

from dataclasses import dataclass
from random import Random
from typing import Protocol

from services.cli.bench.generate.checkpoint import Model

_FIRST_ID = 300  # beyond special tokens and single bytes
_PROMPT_TOKENS, _LONG_PROMPT_TOKENS = 32, 512
_NEW_TOKENS = 128
_GROUP = 16


class Case(Protocol):
    """Something that can be asked."""

    @property
    def name(self) -> str: ...

    def order(self, model: Model, seed: int) -> dict[str, object]:
        """For a contestant; new prompts for each seed."""
        ...

    def num_tokens(self, model: Model) -> int:
        """What a contestant has to write."""
        ...


@dataclass(frozen=True, slots=True)
class Answers:
    """`num_prompts` prompts, so many of them at once, each with `samples` answers."""

    name: str
    num_prompts: int
    prompt_tokens: int
    samples: int
    concurrency: int
    new_tokens: int = _NEW_TOKENS

    @property
    def num_rows(self) -> int:
        """Answers that are written at the same time."""
        return self.concurrency * self.samples

    def order(self, model: Model, seed: int) -> dict[str, object]:
        rng = Random(f"{self.name} {seed}")
        return {
            "do": "generate",
            "prompts": [_ids(rng, model, self.prompt_tokens) for _ in range(self.num_prompts)],
            "samples": self.samples,
            "max_tokens": self.new_tokens,
            "concurrency": self.concurrency,
        }

    def num_tokens(self, model: Model) -> int:
        return self.num_prompts * self.samples * self.new_tokens


@dataclass(frozen=True, slots=True)
class Pictures:
    """A picture for each prompt, under classifier-free guidance."""

    name: str
    num_prompts: int
    concurrency: int
    guidance_scale: float = 5.0

    def order(self, model: Model, seed: int) -> dict[str, object]:
        assert model.drawing is not None
        rng = Random(f"{self.name} {seed}")
        end = [model.drawing.begin_of_image]
        return {
            "do": "draw",
            "prompts": [
                _ids(rng, model, _PROMPT_TOKENS - 1) + end for _ in range(self.num_prompts)
            ],
            "guidance_scale": self.guidance_scale,
            "concurrency": self.concurrency,
        }

    def num_tokens(self, model: Model) -> int:
        assert model.drawing is not None
        return self.num_prompts * model.drawing.tokens_per_image


def _ids(rng: Random, model: Model, length: int) -> list[int]:
    return [rng.randrange(_FIRST_ID, model.vocab_size) for _ in range(length)]


ANSWERS = (
    Answers("1 at once", 4, _PROMPT_TOKENS, 1, 1),
    Answers("8 at once", 16, _PROMPT_TOKENS, 1, 8),
    Answers("64 at once", 128, _PROMPT_TOKENS, 1, 64),
    Answers(f"groups of {_GROUP} on {_LONG_PROMPT_TOKENS}", 4, _LONG_PROMPT_TOKENS, _GROUP, 1),
)
PICTURES = (Pictures("16 at once", 16, 16),)
