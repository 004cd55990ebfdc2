"""The Open Inference Protocol, asked by tritonclient: n in, n out; the same scores as Score's."""

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from models.preprocessing.conversation import Picture, Role, Text, Turn
from services.reward.scorers.contract import ScoringItem
from tests.contract.reward_service import Reward, item_to_proto, running_reward
from tests.unit.reward.tiny_reward import POISON, answered, picture, poisoned

PROMPTS = ["what colour is it?", "name a colour", "what shape?"]
RESPONSES = ["red", "a blue square", "a circle of some size"]


@pytest.fixture
async def reward(tmp_path):
    async with running_reward(tmp_path) as reward:
        yield reward


@pytest.fixture
async def model(reward: Reward) -> str:
    return await reward.load(version=reward.put_version(), alias="stable", epoch=1)


@pytest.fixture
async def client(reward: Reward):
    async with InferenceServerClient(reward.running.address) as client:
        yield client


def tensor(name: str, values: list[str | bytes]) -> triton.InferInput:
    array = np.array([v.encode() if isinstance(v, str) else v for v in values], np.object_)
    made = triton.InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(array)
    return made


def batch(prompts: list[str], responses: list[str], **media: list[bytes]) -> list[object]:
    given = {"PROMPT": prompts, "RESPONSE": responses, **media}
    return [tensor(name, values) for name, values in given.items()]


async def native(reward: Reward, model: str, pictures: list[bytes] | None = None) -> list[float]:
    items = []
    for at, (prompt, response) in enumerate(zip(PROMPTS, RESPONSES, strict=True)):
        seen = (Picture(pictures[at]),) if pictures and pictures[at] else ()
        turn = Turn(Role.USER, (*seen, Text(prompt)))
        items.append(item_to_proto(ScoringItem(str(at), (turn,), answered(response))))
    return [score.reward for score in (await reward.score(model, items)).scores]


async def test_an_unchanged_client_gets_the_native_scores(reward, model, client) -> None:
    result = await client.infer("stable", batch(PROMPTS, RESPONSES), request_id="mine")
    assert result.as_numpy("REWARD").tolist() == pytest.approx(await native(reward, model))
    assert result.as_numpy("REWARD_STD").shape == (3,)
    assert result.as_numpy("STATUS").tolist() == [b"SCORED"] * 3
    assert result.as_numpy("ERROR").tolist() == [b""] * 3
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("stable", model, "mine")


async def test_pictures_come_as_encoded_bytes_and_may_be_absent(reward, model, client) -> None:
    pictures = [picture(1), b"", picture(2)]
    result = await client.infer(model, batch(PROMPTS, RESPONSES, IMAGE=pictures))
    assert result.as_numpy("REWARD").tolist() == pytest.approx(
        await native(reward, model, pictures)
    )


async def test_an_item_that_is_not_scored_is_no_number(reward, client) -> None:
    model = await reward.load(version=reward.put_version(poisoned()))
    responses = ["red", POISON, "blue"]
    result = await client.infer(model, batch(PROMPTS, responses, IMAGE=[b"", b"", b"no picture"]))
    rewards = result.as_numpy("REWARD")
    assert np.isfinite(rewards[0])
    assert np.isnan(rewards[1:]).all()
    assert result.as_numpy("STATUS").tolist() == [b"SCORED", b"FAILED", b"REJECTED"]
    assert b"not a picture" in result.as_numpy("ERROR")[2]


async def test_it_says_what_it_takes(model, client) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("stable")
    assert not await client.is_model_ready("nobody")
    described = await client.get_model_metadata("stable")
    assert list(described.versions) == [model]
    assert {t.name for t in described.inputs} == {"PROMPT", "RESPONSE", "IMAGE", "AUDIO", "VIDEO"}
    assert {t.name for t in described.outputs} >= {"REWARD", "REWARD_STD", "STATUS"}


async def test_only_the_outputs_that_are_asked_for_come(model, client) -> None:
    inputs = batch(PROMPTS, RESPONSES)
    outputs = [triton.InferRequestedOutput("REWARD")]
    result = await client.infer(model, inputs, outputs=outputs)
    assert [output.name for output in result.get_response().outputs] == ["REWARD"]


async def test_an_empty_batch_has_no_scores(model, client) -> None:
    result = await client.infer(model, batch([], []))
    assert result.as_numpy("REWARD").tolist() == []


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (batch(PROMPTS, RESPONSES)[:1], "RESPONSE is missing"),
        (batch(PROMPTS, RESPONSES[:2]), "differ in length"),
        ([*batch(PROMPTS, RESPONSES), tensor("SMELL", PROMPTS)], "'SMELL' is unknown"),
    ],
)
async def test_a_batch_that_is_none_is_refused(model, client, inputs, message) -> None:
    with pytest.raises(InferenceServerException, match=message):
        await client.infer(model, inputs)


async def test_an_unknown_model_and_an_unknown_output_are_refused(model, client) -> None:
    with pytest.raises(InferenceServerException, match="nobody"):
        await client.infer("nobody", batch(PROMPTS, RESPONSES))
    wanted = [triton.InferRequestedOutput("LOGITS")]
    with pytest.raises(InferenceServerException, match="there are: REWARD"):
        await client.infer(model, batch(PROMPTS, RESPONSES), outputs=wanted)
