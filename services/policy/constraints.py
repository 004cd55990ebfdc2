"""Answers held to a JSON schema or a regular expression, by llguidance.

Compiled within limits on time and size, and remembered; each sample follows its own copy.
Legend: V text ids, W words of 32 ids.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from models.preprocessing.prompt import Preprocessor
from models.preprocessing.tokenizer import Tokenizer
from services.common.errors import InvalidArgument
from services.policy.engine.request import Form

_K = TypeVar("_K")
_V = TypeVar("_V")

_MAX_CHARS = 64_000
_MAX_REASON_CHARS = 500
_MAX_COMPILED, _MAX_TOKENIZERS = 256, 8
# The library's own, written down since they are what a bomb may cost (some tenths of a second for
# each step), but for the states, of which each takes 1 to 2 kB. Errors do not repeat the grammar.
_LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=500_000,
    verbose_errors=False,
)


@dataclass(frozen=True, slots=True, eq=False)
class CompiledConstraint:
    """See engine.constraint.Constraint."""

    matcher: LLMatcher
    vocab_size: int

    def start(self) -> "Follower":
        return Follower(self.matcher.deep_copy(), self.vocab_size)


class Follower:
    """See engine.constraint.ConstraintState."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._mask_W = np.zeros(-(-vocab_size // 32), np.uint32)

    @property
    def error(self) -> str | None:
        if not self._matcher.is_error():
            return None
        reason = self._matcher.get_error()[:_MAX_REASON_CHARS]
        return f"the constraint cannot be followed: {reason}"

    def allow(self, is_allowed_V: NDArray[np.bool_]) -> None:
        if self._matcher.is_error():
            return
        self._matcher.unsafe_compute_mask_ptr(self._mask_W.ctypes.data, self._mask_W.nbytes)
        bits = np.unpackbits(self._mask_W.view(np.uint8), bitorder="little")
        if not self._matcher.is_error():
            is_allowed_V[:] = bits[: self._vocab_size]

    def advance(self, token_id: int) -> bool:
        self._matcher.consume_token(token_id)
        return self._matcher.is_stopped()


class Constraints:
    """Compiles what requests ask for, off the event loop; keeps those that were used last."""

    def __init__(self) -> None:
        self._tokenizers: OrderedDict[str, LLTokenizer] = OrderedDict()
        self._compiled: OrderedDict[tuple[str, Form], CompiledConstraint] = OrderedDict()

    async def compiled(
        self, form: Form | None, preprocessor: Preprocessor
    ) -> CompiledConstraint | None:
        """Raises InvalidArgument for what is not valid, or too complex."""
        if form is None:
            return None
        key = (preprocessor.fingerprint, form)
        made = self._compiled.get(key)
        if made is None:
            made = await asyncio.to_thread(self._compile, form, preprocessor)
        _remember(self._compiled, key, made, _MAX_COMPILED)
        return made

    def _compile(self, form: Form, preprocessor: Preprocessor) -> CompiledConstraint:
        name = form.kind.replace("_", " ")
        if len(form.source) > _MAX_CHARS:
            raise InvalidArgument(
                f"the {name} has {len(form.source)} characters; at most {_MAX_CHARS} are allowed"
            )
        try:
            grammar = _grammar(form)
        except ValueError as error:
            reason = str(error)[:_MAX_REASON_CHARS]
            raise InvalidArgument(f"the {name} cannot be used: {reason}") from error
        matcher = LLMatcher(self._tokenizer(preprocessor), grammar, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            reason = matcher.get_error()[:_MAX_REASON_CHARS]
            raise InvalidArgument(f"the {name} cannot be used: {reason}")
        return CompiledConstraint(matcher, preprocessor.tokenizer.vocab_size)

    def _tokenizer(self, preprocessor: Preprocessor) -> LLTokenizer:
        key = preprocessor.fingerprint
        made = self._tokenizers.get(key)
        if made is None:
            made = LLTokenizer(TokenizerWrapper(_Vocabulary(preprocessor.tokenizer)))
        _remember(self._tokenizers, key, made, _MAX_TOKENIZERS)
        return made


def _grammar(form: Form) -> str:
    if form.kind == "regex":
        return LLMatcher.grammar_from_regex(form.source)
    # A small model that may write blanks between two names writes them until its tokens run out.
    return LLMatcher.grammar_from_json_schema(form.source, overrides={"whitespace_flexible": False})


def _remember(kept: OrderedDict[_K, _V], key: _K, value: _V, capacity: int) -> None:
    """As the one used last."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > capacity:
        kept.popitem(last=False)


class _Vocabulary:
    """What llguidance asks of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = tokenizer.special
        self._tokenizer = tokenizer
        self.eos_token_id, self.bos_token_id = special.end, special.bos
        self.special_token_ids = sorted(special.ids())
        self.tokens = [
            tokenizer.token_bytes(token_id) or f"<|{token_id}|>".encode()
            for token_id in range(tokenizer.vocab_size)
        ]

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenizer.encode(text if isinstance(text, str) else text.decode())
