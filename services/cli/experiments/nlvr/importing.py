"""Examples as items with candidates "yes" and "no", votes as judgements, and a task file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.preprocessing.conversation import Conversation, Picture, Role, Text, Turn
from protos.v1 import feedback_log_pb2, judgement_pb2
from services.cli.experiments.nlvr.source import ANSWERS, WORDS, NlvrExample, Split
from services.common.codecs import prompt_to_proto, turn_to_proto

TASK = "nlvr"
# Of a sentence that makes no sense, neither answer is right.
_OUTCOMES = {
    "true": judgement_pb2.PAIR_OUTCOME_FIRST,
    "false": judgement_pb2.PAIR_OUTCOME_SECOND,
    "nonsense": judgement_pb2.PAIR_OUTCOME_BOTH_BAD,
}
_RECORDED_AT_S = 1_483_228_800.0  # 2017: the corpus gives no time of a vote


def to_item(example: NlvrExample, project: str, split: Split) -> feedback_log_pb2.Item:
    """What people saw, and the two answers that they chose between."""
    item_id = _item_id(example, project)
    return feedback_log_pb2.Item(
        item_id=item_id,
        project=project,
        prompt=prompt_to_proto(_conversation(example)),
        candidates=[
            feedback_log_pb2.Candidate(
                candidate_id=f"{item_id}/{answer}",
                answer=turn_to_proto(Turn(Role.ASSISTANT, (Text(WORDS[answer]),))),
            )
            for answer in ANSWERS
        ],
        task=TASK,
        split=split,
        group_key=example.sentence,
        metadata={"source": "NLVR dev, CC BY 4.0"},
    )


def to_judgements(example: NlvrExample, project: str) -> list[judgement_pb2.Judgement]:
    """One judgement for each person's vote."""
    item_id = _item_id(example, project)
    first, second = (f"{item_id}/{answer}" for answer in ANSWERS)
    return [
        judgement_pb2.Judgement(
            idempotency_key=f"{item_id}:{rater}",
            item_id=item_id,
            rater_id=rater,
            rater_kind=judgement_pb2.RATER_KIND_IMPORTED,
            judged_at_s=_RECORDED_AT_S,
            pair=judgement_pb2.PairJudgement(
                first_candidate_id=first,
                second_candidate_id=second,
                outcome=_OUTCOMES[vote],
            ),
        )
        for rater, vote in sorted(example.votes.items())
    ]


def write_task(path: Path, splits: Mapping[Split, Sequence[NlvrExample]], renderings: int) -> None:
    """A JSONL task (services/common/dataset.py): each training picture in several renderings.

    Targets are what most people voted; references are the labels, which only the held-out check
    reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [_row(e, "train", r) for e in splits["train"] for r in range(renderings)]
    rows += [_row(example, "heldout", 0) for example in splits["heldout"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _row(example: NlvrExample, split: Split, rendering: int) -> dict[str, Any]:
    content = [
        {"type": "image", "path": str(example.picture(rendering).absolute())},
        {"type": "text", "text": example.question},
    ]
    return {
        "id": f"{example.example_id}-{rendering}",
        "messages": [{"role": "user", "content": content}],
        "reference": {"answer": WORDS[example.label]},
        "target": WORDS[example.majority],
        "split": split,
        "task": TASK,
    }


def _conversation(example: NlvrExample) -> Conversation:
    picture = Picture(example.picture().read_bytes())
    return (Turn(Role.USER, (picture, Text(example.question))),)


def _item_id(example: NlvrExample, project: str) -> str:
    return f"{project}/{example.example_id}"
