"""A user's function in its own process: what it may return, and every way in which it can fail."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models.preprocessing.conversation import Audio, Role, Text, TokenIds, Turn, Video
from services.reward.batcher import BatchLimits
from services.reward.scorers.batched import ScorerTools
from services.reward.scorers.contract import (
    Outcome,
    Scorer,
    ScoreStatus,
    ScoringCall,
    ScoringItem,
)
from services.reward.scorers.user import UserLimits, open_user_scorer
from services.reward.scorers.user_process import UserCode, UserProcessEnded
from tests.unit.reward.tiny_reward import answered, asked, item, picture

# Does what the answer says.
SOURCE = """
import os, sys, time
from pathlib import Path

def score(item):
    text = item["answer_text"]
    print("scoring", text, "x" * 100_000)
    print("on standard error", file=sys.stderr)
    os.write(1, b"\\x00\\x00\\x00\\x04none")
    if text == "raise":
        raise KeyError("colour")
    if text == "exit":
        sys.exit(3)
    if text == "die":
        print("last words", flush=True)
        os._exit(4)
    if text == "hang":
        time.sleep(1000)
    if text == "pid":
        return os.getpid()
    return {
        "none": None, "nan": float("nan"), "huge": 1e300, "text": "0.5", "true": True,
        "list": [1.0], "dict": {"reward": 2, "subscores": {"a": 0.5}, "rationale": "because"},
        "bad dict": {"score": 1}, "bad subscores": {"reward": 1, "subscores": {"a": "b"}},
        "nan subscore": {"reward": 1, "subscores": {"a": float("inf")}},
        "object": object(),
    }.get(text, 1.5)
"""


@asynccontextmanager
async def running(
    folder: Path, source: str = SOURCE, item_s: float = 5.0, name: str = "score"
) -> AsyncIterator[Scorer]:
    file = folder / "mine.py"
    file.write_text(source)
    limits = BatchLimits(max_rows=1, max_padded_tokens=1, max_delay_s=0.0, max_queued_rows=1000)
    with ThreadPoolExecutor(1) as threads:
        scorer = await open_user_scorer(
            "user/mine@0",
            UserCode(file, name, source),
            UserLimits(item_s=item_s, start_s=20.0, max_backoff_s=0.05),
            ScorerTools(threads, limits, lambda run: None, lambda how: None),
        )
        try:
            yield scorer
        finally:
            await scorer.close()


async def score(scorer: Scorer, *answers: str) -> list[Outcome]:
    async with asyncio.timeout(30):
        call = ScoringCall([item(answer, i) for i, answer in enumerate(answers)])
        return (await scorer.score(call)).outcomes


async def test_numbers_dicts_and_none_are_rewards_and_abstention(tmp_path) -> None:
    async with running(tmp_path) as scorer:
        number, none, full, true = await score(scorer, "any", "none", "dict", "true")
    assert (number.status, number.reward) == (ScoreStatus.SCORED, 1.5)
    assert (none.status, none.reward) == (ScoreStatus.ABSTAIN, None)
    assert (full.reward, full.subscores, full.rationale) == (2.0, {"a": 0.5}, "because")
    assert true.reward == 1.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("raise", "KeyError: 'colour'"),
        ("exit", "SystemExit: 3"),
        ("nan", "gave nan as reward"),
        ("huge", "gave 1e+300 as reward"),
        ("text", "returned str '0.5'; expected a number"),
        ("list", "returned list"),
        ("bad dict", "returned dict"),
        ("bad subscores", "could not convert"),
        ("nan subscore", "gave inf as a"),
        ("object", "returned object"),
    ],
)
async def test_what_is_no_score_fails_its_item_alone(tmp_path, answer: str, error: str) -> None:
    async with running(tmp_path) as scorer:
        before, bad, after = await score(scorer, "1", answer, "3")
    assert (bad.status, bad.reward) == (ScoreStatus.FAILED, None)
    assert error in bad.error
    assert (before.reward, after.reward) == (1.5, 1.5)


async def test_a_function_that_dies_is_started_again_for_the_next_item(tmp_path) -> None:
    async with running(tmp_path) as scorer:
        outcomes = await score(scorer, "1", "die", "die", "die", "5")
    assert [o.status for o in outcomes[1:4]] == [ScoreStatus.FAILED] * 3
    assert "status 4: " in outcomes[1].error
    assert "last words" in outcomes[1].error
    assert (outcomes[0].reward, outcomes[4].reward) == (1.5, 1.5)


async def test_a_function_that_hangs_times_out_and_does_not_hold_the_others(tmp_path) -> None:
    async with running(tmp_path, item_s=1.0) as scorer:
        hung, after = await score(scorer, "hang", "1")
    assert (hung.status, hung.reward) == (ScoreStatus.TIMEOUT, None)
    assert after.reward == 1.5


async def test_a_process_killed_between_two_items_costs_no_score(tmp_path) -> None:
    async with running(tmp_path) as scorer:
        [first] = await score(scorer, "pid")
        assert first.reward is not None
        os.kill(int(first.reward), 9)
        await until(lambda: scorer._process.has_ended)
        [second] = await score(scorer, "pid")
    assert second.status is ScoreStatus.SCORED
    assert second.reward != first.reward


async def test_the_deadline_of_a_call_leaves_the_scores_that_are_there(tmp_path) -> None:
    async with running(tmp_path, item_s=20.0) as scorer:
        deadline_s = asyncio.get_running_loop().time() + 1.0
        items = [item(answer, i) for i, answer in enumerate(["1", "hang", "3"])]
        scored = await scorer.score(ScoringCall(items, deadline_s=deadline_s))
        statuses = [outcome.status for outcome in scored.outcomes]
        assert statuses == [ScoreStatus.SCORED, ScoreStatus.TIMEOUT, ScoreStatus.TIMEOUT]


async def test_the_function_sees_prompt_answer_pictures_and_reference(tmp_path) -> None:
    source = """
import base64
def score(item):
    image, text = item["prompt"][0]["content"]
    assert base64.b64decode(image["base64"]).startswith(b"\\x89PNG"), image
    assert text == {"type": "text", "text": "what is this?"}, text
    assert item["prompt"][0]["role"] == "user"
    assert item["answer"] == {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
    assert item["reference"] == {"wanted": ["yes"]}
    assert (item["item_id"], item["task"]) == ("item-0", "mine")
    return float(item["answer_text"] in item["reference"]["wanted"])
"""
    async with running(tmp_path, source) as scorer:
        one = item("yes", task="mine", reference_json='{"wanted": ["yes"]}')
        [outcome] = (await scorer.score(ScoringCall([one]))).outcomes
    assert outcome.reward == 1.0, outcome.error


async def test_the_function_is_given_recordings_and_clips_as_they_came(tmp_path) -> None:
    source = """
import base64
def score(item):
    audio, text, video = item["prompt"][0]["content"]
    assert [part["type"] for part in (audio, text, video)] == ["audio", "text", "video"]
    assert base64.b64decode(audio["base64"]) == b"RIFF of a recording", audio
    return len(base64.b64decode(video["base64"]))
"""
    parts = (Audio(b"RIFF of a recording"), Text("which one?"), Video(b"GIF89a of a clip"))
    async with running(tmp_path, source) as scorer:
        one = ScoringItem("1", (Turn(Role.USER, parts),), answered("the second"))
        [outcome] = (await scorer.score(ScoringCall([one]))).outcomes
    assert outcome.reward == len(b"GIF89a of a clip"), outcome.error


async def test_the_function_imports_its_neighbours(tmp_path) -> None:
    (tmp_path / "neighbour.py").write_text("LIMIT = 7")
    source = "from neighbour import LIMIT\ndef score(item): return LIMIT"
    async with running(tmp_path, source) as scorer:
        [outcome] = await score(scorer, "any")
    assert outcome.reward == 7.0


async def test_large_pictures_pass(tmp_path) -> None:
    source = "def score(item): return len(item['answer']['content'][0]['base64'])"
    data = picture(width=900, height=900)
    async with running(tmp_path, source) as scorer:
        large = ScoringItem("1", asked(), answered(data))
        [outcome] = (await scorer.score(ScoringCall([large]))).outcomes
    assert outcome.reward == len(base64.b64encode(data)) > 2_000_000


async def test_tokens_and_a_broken_reference_are_rejected(tmp_path) -> None:
    tokens = Turn(Role.ASSISTANT, (TokenIds((3,), "fingerprint"),))
    items = [ScoringItem("1", asked(), tokens), item(reference_json="{")]
    async with running(tmp_path) as scorer:
        outcomes = (await scorer.score(ScoringCall(items))).outcomes
    assert [o.status for o in outcomes] == [ScoreStatus.REJECTED] * 2


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def score(item) return 1", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def other(item): return 1", "has no function 'score'"),
        ("import os; os._exit(5)", "ended with status 5"),
        ("import sys; sys.exit()", "SystemExit"),
    ],
)
async def test_code_that_does_not_load_is_refused_with_its_reason(
    tmp_path, source: str, error: str
) -> None:
    with pytest.raises(UserProcessEnded, match=error):
        async with running(tmp_path, source):
            pass


async def test_nothing_of_the_process_is_left_after_close(tmp_path) -> None:
    source = """
import os, subprocess
child = subprocess.Popen(["sleep", "1000"])
def score(item): return child.pid
"""
    async with running(tmp_path, source) as scorer:
        [outcome] = await score(scorer, "any")
    assert outcome.reward is not None
    await until(lambda: is_gone(int(outcome.reward)))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - another process, which no event tells of
            await asyncio.sleep(0.01)
