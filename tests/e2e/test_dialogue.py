"""The shipped base over HTTP: spoken questions, clips, transcripts, pictures shown turns ago."""

import base64
import difflib
from collections.abc import Iterator

import openai
import pytest

from models.preprocessing.conversation import Audio, Part, Picture, Role, Text, Turn
from services.common.world.checkers import check
from services.common.world.families.exercise import Family
from services.common.world.items import WorldItem, make_item
from tests.support.processes import free_port, running

_ITEMS = 40


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    home, port = tmp_path_factory.mktemp("base"), free_port()
    with (
        running("policy", home, port),
        running("gateway", home, policy_address=f"127.0.0.1:{port}") as gateway,
    ):
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", timeout=60)
        taken = client.models.retrieve("stable").to_dict()["input_modalities"]
        if not {"audio", "video"} <= set(taken):  # type: ignore[arg-type]
            pytest.skip(f"the shipped base takes {taken} alone")
        yield client


def held_out(family: Family) -> list[WorldItem]:
    return [make_item(family, "heldout", index) for index in range(_ITEMS)]


def message(turn: Turn) -> dict[str, object]:
    """As OpenAI's API has it; what the assistant said is words alone."""
    if turn.role is Role.ASSISTANT:
        return {"role": "assistant", "content": "".join(p.text for p in turn.parts)}  # type: ignore[union-attr]
    return {"role": "user", "content": [content(part) for part in turn.parts]}


def content(part: Part) -> dict[str, object]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    encoded = base64.b64encode(part.data).decode()  # type: ignore[union-attr]
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}}
    if isinstance(part, Picture):
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}
    return {"type": "video_url", "video_url": {"url": f"data:image/gif;base64,{encoded}"}}


def share_right(client: openai.OpenAI, family: Family) -> float:
    scores = []
    for item in held_out(family):
        answer = client.chat.completions.create(
            model="stable",
            messages=[message(turn) for turn in item.conversation],  # type: ignore[misc]
            temperature=0,
            max_tokens=16,
        )
        said = Turn(Role.ASSISTANT, (Text(answer.choices[0].message.content or ""),))
        scores.append(check(family, item.reference, said).score)
    return sum(scores) / len(scores)


# Guessing by the kind of question gets about 0.4 of speech and dialogue, 0.35 of video.
@pytest.mark.parametrize(
    ("family", "at_least"), [("speech", 0.6), ("video", 0.5), ("dialogue", 0.55)]
)
def test_the_base_answers_what_it_hears_sees_and_was_shown(
    client: openai.OpenAI, family: Family, at_least: float
) -> None:
    assert share_right(client, family) >= at_least


def test_the_base_writes_down_what_is_said(client: openai.OpenAI) -> None:
    ratios = []
    for item in held_out("transcribe"):
        [recording] = [p for p in item.conversation[0].parts if isinstance(p, Audio)]
        heard = client.audio.transcriptions.create(
            model="stable", file=("said.wav", recording.data, "audio/wav")
        )
        spoken, wanted = heard.text.split(), (item.target_text or "").split()
        ratios.append(difflib.SequenceMatcher(None, spoken, wanted).ratio())
    assert sum(ratios) / len(ratios) >= 0.7
