"""From a feedback snapshot to judged items: pairs with ties, and acceptability from both-bad."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from models.preprocessing.encoded_prompt import EncodedPrompt
from models.preprocessing.prompt import Preprocessor
from protos.v1 import judgement_pb2 as pb
from protos.v1.feedback_log_pb2 import SnapshotRecord
from services.common.codecs import conversation_from_proto, turn_from_proto
from services.common.errors import NotFound
from services.trainer.algorithms.davidson import FIRST, SECOND, TIE
from services.trainer.framing import frame, read_frames
from services.trainer.learning.judged_items import JudgedAnswer, JudgedItem, JudgedPair
from services.trainer.run_folder import replace_file

_RECORD = b"R"
_OUTCOMES = {
    pb.PAIR_OUTCOME_FIRST: FIRST,
    pb.PAIR_OUTCOME_SECOND: SECOND,
    pb.PAIR_OUTCOME_TIE: TIE,
    pb.PAIR_OUTCOME_BOTH_BAD: TIE,
}


def save_snapshot(path: Path, records: Iterable[SnapshotRecord]) -> None:
    """Keeps what a run is trained on beside it."""
    content = b"".join(frame(_RECORD, record.SerializeToString()) for record in records)
    replace_file(path, content, durably=True)


def load_snapshot(path: Path) -> Iterator[SnapshotRecord]:
    """The inverse of `save_snapshot`."""
    with path.open("rb") as file:
        for _, payload in read_frames(file):
            yield SnapshotRecord.FromString(payload)


def judged_items(records: Iterable[SnapshotRecord], preprocessor: Preprocessor) -> list[JudgedItem]:
    """Items with at least one usable pair; only the overall dimension counts."""
    items = []
    for record in records:
        indices = {c.candidate_id: i for i, c in enumerate(record.item.candidates)}
        pairs = [j.pair for j in record.judgements if _is_usable(j, indices)]
        if pairs:
            items.append(
                JudgedItem(
                    group_key=record.item.group_key or record.item.item_id,
                    sequences=tuple(_sequences(record, preprocessor)),
                    pairs=tuple(_judged_pair(pair, indices) for pair in pairs),
                    answers=tuple(a for pair in pairs for a in _judged_answers(pair, indices)),
                )
            )
    return items


def _is_usable(judgement: pb.Judgement, indices: dict[str, int]) -> bool:
    pair = judgement.pair
    return (
        judgement.WhichOneof("kind") == "pair"
        and pair.dimension in ("", "overall")
        and pair.outcome in _OUTCOMES
        and pair.first_candidate_id in indices
        and pair.second_candidate_id in indices
    )


def _judged_pair(pair: pb.PairJudgement, indices: dict[str, int]) -> JudgedPair:
    sides = {pair.first_candidate_id: 1, pair.second_candidate_id: -1}
    return JudgedPair(
        first=indices[pair.first_candidate_id],
        second=indices[pair.second_candidate_id],
        outcome=_OUTCOMES[pair.outcome],
        left=sides.get(pair.shown_left_candidate_id, 0),
    )


def _judged_answers(pair: pb.PairJudgement, indices: dict[str, int]) -> Sequence[JudgedAnswer]:
    """Both-bad: neither is acceptable. A tie beside that choice: both are; else the winner is."""
    first, second = indices[pair.first_candidate_id], indices[pair.second_candidate_id]
    match pair.outcome:
        case pb.PAIR_OUTCOME_BOTH_BAD:
            return JudgedAnswer(first, False), JudgedAnswer(second, False)
        case pb.PAIR_OUTCOME_TIE:
            return JudgedAnswer(first, True), JudgedAnswer(second, True)
        case pb.PAIR_OUTCOME_FIRST:
            return (JudgedAnswer(first, True),)
        case _:
            return (JudgedAnswer(second, True),)


def _sequences(record: SnapshotRecord, preprocessor: Preprocessor) -> Iterator[EncodedPrompt]:
    conversation = conversation_from_proto(record.item.prompt, _unresolved)
    for candidate in record.item.candidates:
        answer = turn_from_proto(candidate.answer, _unresolved)
        yield preprocessor.encode_with_answer(conversation, answer)


def _unresolved(sha256: str) -> bytes:
    raise NotFound(f"the snapshot names media {sha256} without its bytes")
