"""What is asked of every contestant: closed loops of single answers, and groups on long prompts."""

from dataclasses import dataclass
from random import Random

_FIRST_ID = 300  # beyond special tokens and single bytes
_PROMPT_TOKENS, _LONG_PROMPT_TOKENS = 32, 512
_NEW_TOKENS = 128
_GROUP = 16


@dataclass(frozen=True, slots=True)
class Case:
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

    def order(self, vocab_size: int, seed: int) -> dict[str, object]:
        """For a contestant; new prompts for each seed."""
        rng = Random(f"{self.name} {seed}")
        prompts = [
            [rng.randrange(_FIRST_ID, vocab_size) for _ in range(self.prompt_tokens)]
            for _ in range(self.num_prompts)
        ]
        return {
            "do": "generate",
            "prompts": prompts,
            "samples": self.samples,
            "max_tokens": self.new_tokens,
            "concurrency": self.concurrency,
        }


CASES = (
    Case("1 at once", 4, _PROMPT_TOKENS, 1, 1),
    Case("8 at once", 16, _PROMPT_TOKENS, 1, 8),
    Case("64 at once", 128, _PROMPT_TOKENS, 1, 64),
    Case(f"groups of {_GROUP} on {_LONG_PROMPT_TOKENS}", 4, _LONG_PROMPT_TOKENS, _GROUP, 1),
)
