from collections import Counter
from pathlib import Path

import pytest

from protos.v1 import judgement_pb2
from services.cli.errors import UserError
from services.cli.experiments.nlvr.floors import floors_of
from services.cli.experiments.nlvr.importing import to_item, to_judgements, write_task
from services.cli.experiments.nlvr.source import WORDS, read_examples, split_by_sentence
from services.common.dataset import JsonlSource

_DATA = Path(__file__).parents[4] / "shared" / "data" / "nlvr"
_OUTCOMES = {
    "true": judgement_pb2.PAIR_OUTCOME_FIRST,
    "false": judgement_pb2.PAIR_OUTCOME_SECOND,
    "nonsense": judgement_pb2.PAIR_OUTCOME_BOTH_BAD,
}
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def examples():
    if not _DATA.is_dir():
        pytest.skip(f"no data at {_DATA}")
    return read_examples(_DATA)


def test_every_example_has_a_picture_a_label_and_five_votes(examples):
    assert len(examples) == 989
    assert Counter(len(e.votes) for e in examples) == {5: 989}
    assert all(e.picture(5).is_file() for e in examples)


def test_always_true_agrees_with_the_label_on_55_percent(examples):
    assert floors_of(examples).always_true == pytest.approx(0.553, abs=0.001)
    assert floors_of(examples).people_majority > floors_of(examples).single_person > 0.8


def test_no_sentence_is_in_both_splits_and_the_split_is_always_the_same(examples):
    splits = split_by_sentence(examples, 0.25, seed=0)
    sentences = {split: {e.sentence for e in some} for split, some in splits.items()}
    assert not sentences["train"] & sentences["heldout"]
    assert 0.15 < len(splits["heldout"]) / len(examples) < 0.35
    assert split_by_sentence(examples, 0.25, seed=0) == splits


def test_a_vote_becomes_one_imported_judgement_of_a_pseudonymous_person(examples):
    example = examples[0]
    item = to_item(example, "nlvr-test", "train")
    judgements = to_judgements(example, "nlvr-test")
    assert len(judgements) == 5
    assert {j.rater_kind for j in judgements} == {judgement_pb2.RATER_KIND_IMPORTED}
    assert all(j.rater_id.startswith("nlvr-") and len(j.rater_id) == 15 for j in judgements)
    assert len({j.idempotency_key for j in judgements}) == 5
    true, false = (c.candidate_id for c in item.candidates)
    for judgement in judgements:
        vote = example.votes[judgement.rater_id]
        assert judgement.pair.outcome == _OUTCOMES[vote]
        assert (judgement.pair.first_candidate_id, judgement.pair.second_candidate_id) == (
            true,
            false,
        )
    assert [p.WhichOneof("kind") for p in item.prompt.messages[0].parts] == ["media", "text"]
    assert item.group_key == example.sentence


def test_votes_of_nonsense_are_neither_answer(examples):
    votes = Counter(vote for e in examples for vote in e.votes.values())
    assert votes == {"true": 2685, "false": 2197, "nonsense": 63}
    assert all(e.majority == e.label for e in examples)


def test_the_label_is_not_among_what_the_feedback_service_gets(examples):
    item = to_item(examples[0], "p", "train")
    assert set(item.metadata) == {"source"}


def test_the_task_file_reads_as_a_task(examples, tmp_path):
    splits = {"train": examples[:3], "heldout": examples[3:5]}
    path = tmp_path / "nlvr" / "data.jsonl"
    write_task(path, splits, renderings=2)
    assert len(JsonlSource(path, "train")) == 6
    heldout = JsonlSource(path, "heldout").items()
    assert [item.reference["answer"] for item in heldout] == [WORDS[e.label] for e in examples[3:5]]
    assert {item.family for item in heldout} == {"nlvr"}


def test_a_folder_without_the_data_is_said_with_what_it_should_hold(tmp_path):
    with pytest.raises(UserError, match=r"holds no dev/dev\.json"):
        read_examples(tmp_path)
