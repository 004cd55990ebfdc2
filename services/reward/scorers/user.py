"""A function in a user's file as a scorer, in a process of its own that is replaced when it fails.

    def score(item: dict) -> float | dict | None

`item` is plain JSON: {"item_id", "task", "prompt": [turn…], "answer": turn, "answer_text": str,
"reference": any or None, "reference_answers": [turn…], "metadata": {…}}. A turn is {"role",
"content": [part…]}; a part is {"type": "text", "text"}, or {"type": "image", "audio" or "video",
"base64"} with the encoded bytes of a file as it was given (PNG, WAV, MP4 …). Return a number, or
{"reward": number, "subscores": {name: number}, "rationale": str}, or None to abstain. Raise for
what cannot be judged: the item is FAILED, never zero.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.preprocessing.conversation import Audio, Part, Picture, Text, Turn, Video
from services.common.logs import get_logger
from services.reward.batcher import Prepared
from services.reward.scorers.batched import BatchedScorer, ScorerTools
from services.reward.scorers.contract import (
    ItemRejected,
    Outcome,
    ScorerInfo,
    ScoreStatus,
    ScoringItem,
)
from services.reward.scorers.user_process import Reply, UserCode, UserProcess, UserProcessEnded

_FIRST_BACKOFF_S = 0.05


@dataclass(frozen=True, slots=True)
class UserLimits:
    """How long the user's code may take, and the longest wait before it is started again."""

    item_s: float
    start_s: float
    max_backoff_s: float


class UserScorer(BatchedScorer[bytes]):
    """Scores one item after the other. Made by `open_user_scorer`."""

    def __init__(
        self,
        name: str,
        code: UserCode,
        process: UserProcess,
        limits: UserLimits,
        tools: ScorerTools,
    ) -> None:
        metadata = {"file": str(code.file), "function": code.function}
        super().__init__(ScorerInfo(name, "user", "within_prompt", metadata=metadata), tools)
        self._code = code
        self._limits = limits
        self._process: UserProcess | None = process
        self._failures_in_row = 0

    def prepare(self, item: ScoringItem) -> Prepared[bytes]:
        return Prepared(json.dumps(_message_of(item)).encode())

    async def execute(self, batch: Sequence[bytes]) -> list[Outcome]:
        return [await self._score(message) for message in batch]

    async def close(self) -> None:
        await super().close()
        await self._drop_process()

    async def _score(self, message: bytes) -> Outcome:
        try:
            process = await self._running_process()
            reply = await process.ask(message, self._limits.item_s)
        except TimeoutError:
            await self._replace_process()
            return Outcome.not_scored(
                ScoreStatus.TIMEOUT, f"the user's scorer took over {self._limits.item_s} s"
            )
        except UserProcessEnded as error:
            await self._replace_process()
            return Outcome.not_scored(ScoreStatus.FAILED, str(error))
        except asyncio.CancelledError:
            await self._drop_process()
            raise
        self._failures_in_row = 0
        return _outcome_of(reply)

    async def _running_process(self) -> UserProcess:
        """The process, started again if the last item ended it: at once, then ever later."""
        if self._process is not None and self._process.has_ended:  # between two items
            await self._replace_process()
        if self._process is None:
            if self._failures_in_row > 1:
                backoff_s = _FIRST_BACKOFF_S * 2 ** (self._failures_in_row - 2)
                await asyncio.sleep(min(backoff_s, self._limits.max_backoff_s))
            self._process = await UserProcess.start(self._code, self._limits.start_s)
        return self._process

    async def _replace_process(self) -> None:
        """Ends the process after a failure; the next item starts another."""
        self._failures_in_row += 1
        get_logger(__name__).warning(
            "user scorer failed", scorer=self.info.name, in_row=self._failures_in_row
        )
        await self._drop_process()

    async def _drop_process(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            await process.stop()


async def open_user_scorer(
    name: str, code: UserCode, limits: UserLimits, tools: ScorerTools
) -> UserScorer:
    """Starts the process first: raises UserProcessEnded if the code does not load."""
    process = await UserProcess.start(code, limits.start_s)
    return UserScorer(name, code, process, limits, tools)


def _outcome_of(reply: Reply) -> Outcome:
    if reply.error:
        return Outcome.not_scored(ScoreStatus.FAILED, f"the user's scorer raised: {reply.error}")
    if reply.abstain:
        return Outcome.not_scored(ScoreStatus.ABSTAIN, "the user's scorer abstained")
    if reply.reward is None:
        return Outcome.not_scored(ScoreStatus.FAILED, "the user's scorer gave no reward")
    return Outcome.scored(reply.reward, subscores=reply.subscores, rationale=reply.rationale)


def _message_of(item: ScoringItem) -> dict[str, Any]:
    texts = [part.text for part in item.answer.parts if isinstance(part, Text)]
    try:
        reference = json.loads(item.reference_json) if item.reference_json else None
    except ValueError as error:
        raise ItemRejected(f"reference_json is not JSON: {error}") from error
    return {
        "item_id": item.item_id,
        "task": item.task,
        "prompt": [_turn(turn) for turn in item.conversation],
        "answer": _turn(item.answer),
        "answer_text": "".join(texts),
        "reference": reference,
        "reference_answers": [_turn(turn) for turn in item.reference_answers],
        "metadata": dict(item.metadata),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {"role": str(turn.role), "content": [_part(part) for part in turn.parts]}


def _part(part: Part) -> dict[str, str]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Picture(data):
            return _medium("image", data)
        case Audio(data):
            return _medium("audio", data)
        case Video(data):
            return _medium("video", data)
    raise ItemRejected(
        "the item holds tokens, which a user's scorer cannot read; send text or media"
    )


def _medium(kind: str, data: bytes) -> dict[str, str]:
    return {"type": kind, "base64": base64.b64encode(data).decode()}
