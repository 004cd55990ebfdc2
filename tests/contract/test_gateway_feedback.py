"""POST /v1/feedback, from an answer through the policy's spool to judgements in the log."""

import httpx
import pytest

from protos.v1.feedback_log_pb2 import ListJudgementsRequest
from protos.v1.feedback_log_pb2_grpc import FeedbackLogStub
from protos.v1.judgement_pb2 import RATER_KIND_APPLICATION, Judgement
from services.common.client import sync_channel
from tests.contract.test_gateway_chat import ask

FEEDBACK = "/v1/feedback"


@pytest.fixture(scope="module")
def feedback_log(feedback_service):
    with sync_channel(feedback_service.address) as channel:
        yield FeedbackLogStub(channel)


@pytest.fixture(scope="module")
def completion_id(openai_client, feedback_service) -> str:
    """An answer with two choices."""
    return ask(openai_client, n=2).id


def judged(feedback_log, completion_id: str) -> list[Judgement]:
    request = ListJudgementsRequest(item_id=completion_id)
    return list(feedback_log.ListJudgements(request).judgements)


def stored(http_client, feedback_log, body: dict, **headers: str) -> Judgement:
    """Sends feedback that becomes one judgement, and reads it from the log."""
    response = http_client.post(FEEDBACK, json=body, headers=headers)
    assert response.status_code == 200, response.text
    (judgement_id,) = response.json()["judgement_ids"]
    found = judged(feedback_log, body["completion_id"])
    return next(j for j in found if j.judgement_id == judgement_id)


def test_a_thumb_is_a_rating_of_zero_or_one(http_client, feedback_log, completion_id):
    body = {"completion_id": completion_id, "choice": 1, "value": "down", "comment": "too short"}
    judgement = stored(http_client, feedback_log, body)
    assert judgement.item_id == completion_id
    assert judgement.rater_kind == RATER_KIND_APPLICATION
    assert judgement.comment == "too short"
    rating = judgement.rating
    assert rating.candidate_id == f"{completion_id}/1"
    assert (rating.value, rating.scale_min, rating.scale_max) == (0, 0, 1)
    assert rating.dimension == "overall"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"score": 4, "scale": {"min": 1, "max": 5}}, (4, 1, 5)),
        ({"score": 0.25}, (250, 0, 1000)),
        ({"score": 1, "key": "helpfulness"}, (1, 0, 1)),
    ],
)
def test_a_score_is_a_rating_on_its_scale(
    http_client, feedback_log, completion_id, fields, expected
):
    rating = stored(http_client, feedback_log, {"completion_id": completion_id} | fields).rating
    assert (rating.value, rating.scale_min, rating.scale_max) == expected
    assert rating.dimension == fields.get("key", "overall")


def test_a_correction_is_an_edit_and_a_comment_alone_a_flag(
    http_client, feedback_log, completion_id
):
    body = {"completion_id": completion_id, "correction": "a red circle"}
    edit = stored(http_client, feedback_log, body).edit
    assert edit.edited.parts[0].text == "a red circle"
    flag = stored(http_client, feedback_log, {"completion_id": completion_id, "comment": "odd"})
    assert flag.flag.reason == "odd"


def test_a_repeat_with_the_same_key_is_stored_once(http_client, feedback_log, completion_id):
    body = {"completion_id": completion_id, "value": "up", "correction": "a blue square"}
    headers = {"Idempotency-Key": "one-click"}
    first, again = (http_client.post(FEEDBACK, json=body, headers=headers) for _ in range(2))
    assert first.json()["judgement_ids"] == again.json()["judgement_ids"]
    assert (first.json()["repeated"], again.json()["repeated"]) == (False, True)
    assert len(first.json()["judgement_ids"]) == 2


def test_a_picture_can_be_judged_by_the_id_of_its_answer(openai_client, http_client, feedback_log):
    answer = openai_client.images.generate(prompt="draw a red circle", model="stable")
    body = {"completion_id": answer.id, "value": "up"}
    assert stored(http_client, feedback_log, body).rating.value == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "value"),
        ({"value": "meh"}, "value"),
        ({"value": "up", "score": 1}, "score"),
        ({"score": 2}, "score"),
        ({"score": 2, "scale": {"min": 5, "max": 1}}, "scale"),
        ({"value": "up", "choice": 2}, "choice"),
        ({"value": "up", "choice": -1}, "choice"),
        ({"value": "up", "spans": []}, "spans"),
    ],
    ids=str,
)
def test_bad_feedback_is_refused_by_field(http_client, completion_id, fields, param):
    response = http_client.post(FEEDBACK, json={"completion_id": completion_id} | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_feedback_on_what_was_never_answered_is_not_found(
    http_client: httpx.Client, feedback_service
):
    body = {"completion_id": "chatcmpl-never", "value": "up"}
    response = http_client.post(FEEDBACK, json=body)
    assert response.status_code == 404
    assert "chatcmpl-never" in response.json()["error"]["message"]
