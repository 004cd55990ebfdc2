"""Reward models under the protocols of others: n in, n out, in order; a failure is no number."""

import math

import httpx
import pytest

from protos.v1 import reward_model_pb2 as pb
from protos.v1 import reward_model_pb2_grpc
from protos.v1.versions_pb2 import ModelRef
from services.common.client import sync_channel
from services.gateway.reward.scores import exchange
from tests.contract.reward_service import put_version
from tests.support.processes import free_port, running
from tests.unit.reward.tiny_reward import POISON, poisoned

ALIAS = "for-others"
PROMPT = "what colour is the sky?"
ANSWERS = ["blue", "a red circle", "is it a square?", "left of it"]


@pytest.fixture(scope="module")
def stub(reward_service):
    with sync_channel(reward_service.address) as channel:
        yield reward_model_pb2_grpc.RewardModelStub(channel)


@pytest.fixture(scope="module")
def client(attune_home, service_addresses, reward_service, stub):
    version = put_version(attune_home, poisoned())
    stub.LoadModel(pb.LoadModelRequest(version=version, alias=ALIAS, epoch=1), timeout=60)
    with (
        running("gateway", attune_home, **service_addresses, reward_model=ALIAS) as gateway,
        httpx.Client(base_url=f"{gateway.url}/reward", timeout=60) as client,
    ):
        yield client


def native(stub, prompt: str, answers: list[str]) -> list[float]:
    items = [exchange(prompt, answer, index) for index, answer in enumerate(answers)]
    request = pb.ScoreRequest(model=ModelRef(alias=ALIAS), items=items)
    return [score.reward for score in stub.Score(request, timeout=60).scores]


def logistic(reward: float) -> float:
    return 1 / (1 + math.exp(-reward))


def test_rerank_orders_all_answers(client, stub) -> None:
    body = {"query": PROMPT, "texts": ANSWERS, "raw_scores": True, "return_text": True}
    ranked = client.post("/rerank", json=body).json()
    rewards = native(stub, PROMPT, ANSWERS)
    assert [one["score"] for one in ranked] == pytest.approx(sorted(rewards, reverse=True))
    assert [one["text"] for one in ranked] == [ANSWERS[one["index"]] for one in ranked]
    plain = client.post("/rerank", json={"query": PROMPT, "texts": ANSWERS}).json()
    assert [set(one) for one in plain] == [{"index", "score"}] * 4
    assert plain[0]["score"] == pytest.approx(logistic(max(rewards)))


def test_predict_takes_one_and_many(client, stub) -> None:
    rewards = native(stub, PROMPT, ANSWERS)
    pairs = [[PROMPT, answer] for answer in ANSWERS]
    many = client.post("/predict", json={"inputs": pairs, "raw_scores": True}).json()
    assert [one["score"] for [one] in many] == pytest.approx(rewards)
    [one] = client.post("/predict", json={"inputs": pairs[1], "raw_scores": True}).json()
    assert one == {"score": pytest.approx(rewards[1]), "label": "reward"}
    [alone] = client.post("/predict", json={"inputs": ANSWERS[0], "raw_scores": True}).json()
    assert alone["score"] == pytest.approx(native(stub, "", ANSWERS[:1])[0])


def test_get_reward_splits_prompt_and_answer(client, stub) -> None:
    body = {
        "query": [f"{PROMPT}\n{answer}" for answer in ANSWERS],
        "prompts": [f"{PROMPT}\n"] * 4,
        "labels": ["blue", None, None, None],
    }
    answer = client.post("/get_reward", json=body).json()
    assert answer["rewards"] == pytest.approx(native(stub, f"{PROMPT}\n", ANSWERS))
    assert all(0 <= score <= 1 for score in answer["scores"])
    assert set(answer["extra_logs"]) == {"reward_raw", "reward_std"}
    assert len(answer["extra_logs"]["reward_std"]) == 4


def test_classify_takes_texts_and_conversations(client, stub) -> None:
    body = {"model": ALIAS, "input": ANSWERS, "use_activation": False}
    answer = client.post("/classify", json=body).json()
    probs = [one["probs"][-1] for one in answer["data"]]
    assert probs == pytest.approx(native(stub, "", ANSWERS))
    assert [one["index"] for one in answer["data"]] == [0, 1, 2, 3]
    messages = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": ANSWERS[1]}]
    [one] = client.post("/classify", json={"messages": messages}).json()["data"]
    assert one["probs"] == [pytest.approx(logistic(native(stub, PROMPT, ANSWERS[1:2])[0]))]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/rerank", {"query": PROMPT, "texts": ["red", POISON]}, 422, "item 1 was not scored"),
        ("/rerank", {"query": PROMPT, "texts": ["word " * 500]}, 400, "tokens; the model takes"),
        ("/rerank", {"query": PROMPT, "texts": []}, 400, "texts"),
        ("/rerank", {"query": PROMPT, "texts": ["a"], "truncate": True}, 400, "truncate"),
        ("/predict", {"inputs": []}, 400, "inputs"),
        ("/get_reward", {"query": ["ab"], "prompts": ["b"]}, 400, "does not begin with"),
        ("/get_reward", {"query": ["ab"], "prompts": []}, 400, "0 prompts for 1 queries"),
        ("/classify", {"model": "nobody", "input": "a"}, 404, "nobody"),
        ("/classify", {"model": ALIAS}, 400, "either input or messages"),
        ("/classify", {"messages": [{"role": "user", "content": "a"}] * 2}, 400, "assistant"),
    ],
)
def test_what_has_no_score_fails_the_call(client, path, body, status, message) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_more_items_than_a_request_may_have_are_refused(client) -> None:
    answer = client.post("/classify", json={"input": ["a"] * 4097})
    assert (answer.status_code, "4097 items" in answer.text) == (400, True)


def test_a_reward_service_that_is_away_is_said(attune_home, service_addresses) -> None:
    away = service_addresses | {"reward_address": f"127.0.0.1:{free_port()}"}
    with running("gateway", attune_home, **away) as gateway:
        body = {"query": PROMPT, "texts": ["a"]}
        headers = {"x-request-timeout": "2"}
        answer = httpx.post(f"{gateway.url}/reward/rerank", json=body, headers=headers, timeout=30)
    assert answer.status_code in (503, 504)
    assert "reward" in answer.json()["error"]["message"] or answer.status_code == 504
