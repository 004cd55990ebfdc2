"""What the policy service refuses: the right code, a message with numbers, and it serves on."""

import struct
import zlib

import grpc
import numpy as np
import pytest

from models import checkpoint
from models.checkpoint import preprocessing_of
from models.omni import OmniModel
from models.preprocessing.audio import encode_wav
from models.preprocessing.prompt import Preprocessor
from protos.v1 import content_pb2, media_pb2, versions_pb2
from protos.v1 import policy_generator_pb2 as pb
from protos.v1 import trajectory_pb2 as trajectories
from tests.contract.policy_service import (
    STABLE,
    Policy,
    generate_request,
    rollout_request,
    running_policy,
)
from tests.unit.policy.tiny_policy import CONFIG, make_preprocessor, question, random_png

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED
AUDIO, VIDEO = media_pb2.MODALITY_AUDIO, media_pb2.MODALITY_VIDEO


@pytest.fixture
async def policy(tmp_path):
    async with running_policy(tmp_path, max_media_mib=1) as policy:
        yield policy


def _media(data: bytes, modality=media_pb2.MODALITY_IMAGE) -> content_pb2.Part:
    return content_pb2.Part(media=media_pb2.Media(modality=modality, data=data))


def _prompt(*parts: content_pb2.Part, role=content_pb2.ROLE_USER) -> content_pb2.Prompt:
    return content_pb2.Prompt(messages=[content_pb2.Message(role=role, parts=parts)])


def _bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header claims side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def _text(text: str) -> content_pb2.Part:
    return content_pb2.Part(text=text)


def _tokens(ids: list[int], fingerprint: str) -> content_pb2.Part:
    tokens = content_pb2.Tokens(ids=ids, preprocessing_fingerprint=fingerprint)
    return content_pb2.Part(tokens=tokens)


PROMPTS = {
    "truncated image": (_prompt(_media(random_png(1)[:60])), INVALID, "truncated"),
    "no image": (_prompt(_media(b"GIF89a hello")), INVALID, "not a picture"),
    "bomb": (_prompt(_media(_bomb(60_000))), INVALID, "pixels"),
    "too many bytes": (_prompt(_media(bytes(2 << 20))), INVALID, "2097152 bytes of media"),
    "truncated recording": (
        _prompt(_media(encode_wav(np.zeros(9_000, np.float32), 16_000)[:900], AUDIO)),
        INVALID,
        "truncated",
    ),
    "a picture as recording": (_prompt(_media(random_png(1), AUDIO)), INVALID, "WAV"),
    "no clip": (_prompt(_media(b"GIF89a hello", VIDEO)), INVALID, ""),
    "text as media": (_prompt(_media(b"x", media_pb2.MODALITY_TEXT)), UNIMPLEMENTED, "text"),
    "unknown hash": (
        _prompt(content_pb2.Part(media=media_pb2.Media(modality=2, sha256="ab" * 32))),
        NOT_FOUND,
        "send their bytes",
    ),
    "no messages": (content_pb2.Prompt(), INVALID, "at least one message"),
    "empty part": (_prompt(content_pb2.Part()), INVALID, "a part is empty"),
    "no role": (_prompt(_text("hi"), role=0), INVALID, "role"),
    "too many parts": (_prompt(*[_text("a")] * 300), INVALID, "300 parts"),
    "too much text": (_prompt(_text("a" * 1_000_001)), INVALID, "1000001 characters"),
    "longer than the context": (_prompt(_text("circle " * 200)), INVALID, "the context of 256"),
    "foreign tokens": (_prompt(_tokens([20], "other")), INVALID, "fingerprint 'other'"),
}

SAMPLING = {
    "temperature": ({"temperature": -0.1}, "sampling.temperature is -0.1"),
    "temperature NaN": ({"temperature": float("nan")}, "sampling.temperature is nan"),
    "top_p": ({"top_p": 0.0}, "sampling.top_p is 0"),
    "guidance": ({"guidance_scale": 21.0}, "guidance_scale is 21"),
    "guidance of text": ({"guidance_scale": 5.0}, "it is for pictures"),
    "top_logprobs": ({"top_logprobs": 21}, "top_logprobs is 21"),
    "stop strings": ({"stop": ["a"] * 5}, "5 strings"),
    "long stop": ({"stop": ["a" * 65]}, "65 characters"),
    "empty stop": ({"stop": [""]}, "0 characters"),
    "no tokens": ({"max_tokens": 0}, "max_tokens is 0"),
    "max_tokens": ({"max_tokens": 5000}, "max_tokens is 5000"),
    "n": ({"n": 65}, "65 samples"),
    "n × max_tokens": ({"n": 60, "max_tokens": 2000}, "60 samples × 2000"),
    "image cut short": ({"output": trajectories.OUTPUT_MODALITY_IMAGE}, "an image takes 65"),
    "output": ({"output": 9}, "sampling.output 9"),
    "no model": ({"model": versions_pb2.ModelRef()}, "model is not set"),
}


@pytest.mark.parametrize("case", PROMPTS)
async def test_a_bad_prompt_is_refused(policy: Policy, case: str) -> None:
    prompt, code, message = PROMPTS[case]
    await _assert_refused(policy, generate_request(prompt=prompt), code, message)
    rollout = rollout_request([question("good")])
    rollout.prompts.append(pb.RolloutPrompt(prompt=prompt))
    await _assert_refused(policy, rollout, code, message)


@pytest.mark.parametrize("case", SAMPLING)
async def test_bad_sampling_is_refused(policy: Policy, case: str) -> None:
    fields, message = SAMPLING[case]
    await _assert_refused(policy, generate_request(**fields), INVALID, message)


@pytest.mark.parametrize("ref", [{"alias": "nobody"}, {"version": "policy-0"}])
async def test_an_unknown_model_is_not_found(policy: Policy, ref: dict[str, str]) -> None:
    request = generate_request(model=versions_pb2.ModelRef(**ref))
    await _assert_refused(policy, request, NOT_FOUND, next(iter(ref.values())))


async def test_a_version_is_no_path(policy: Policy) -> None:
    request = generate_request(model=versions_pb2.ModelRef(version="../../policy-1"))
    await _assert_refused(policy, request, NOT_FOUND, "no policy version")


@pytest.mark.parametrize(("prompts", "samples"), [(0, 2), (1, 0), (1, 65), (70, 64)])
async def test_a_rollout_out_of_range_is_refused(
    policy: Policy, prompts: int, samples: int
) -> None:
    request = rollout_request([question("a")] * prompts, samples)
    await _assert_refused(policy, request, INVALID, "samples")


async def test_placeholder_ids_cannot_be_smuggled_in_as_tokens(policy: Policy) -> None:
    [resident] = (await policy.versions()).values()
    prompt = _prompt(_tokens([6], resident.preprocessing_fingerprint))
    await _assert_refused(policy, generate_request(prompt=prompt), INVALID, "token id 6")


async def test_without_a_base_checkpoint_it_starts_and_says_what_is_missing(tmp_path) -> None:
    async with running_policy(tmp_path, base_checkpoint=tmp_path / "none") as policy:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await policy.generate()
    assert refused.value.code() is NOT_FOUND
    assert "no policy alias 'stable'" in refused.value.details()


@pytest.mark.parametrize(
    ("modality", "name"), [(media_pb2.MODALITY_AUDIO, "audio"), (media_pb2.MODALITY_VIDEO, "video")]
)
async def test_a_model_without_the_tower_says_what_it_takes(tmp_path, modality, name) -> None:
    config = CONFIG.model_copy(update={"audio": None, "video": None})
    preprocessor = Preprocessor(preprocessing_of(config), make_preprocessor().tokenizer)
    checkpoint.save(tmp_path / "base-checkpoint", OmniModel(config), preprocessor)
    async with running_policy(tmp_path) as policy:
        [resident] = (await policy.versions()).values()
        prompt = _prompt(_text("what is it?"), _media(b"never decoded", modality))
        message = f"{resident.version} takes no {name}, which is part 1 of message 0; it takes text"
        await _assert_refused(policy, generate_request(prompt=prompt), INVALID, message)
    assert list(resident.limits.input_modalities) == [
        media_pb2.MODALITY_TEXT,
        media_pb2.MODALITY_IMAGE,
    ]
    assert not resident.limits.HasField(name)


async def _assert_refused(policy: Policy, request, code: grpc.StatusCode, message: str) -> None:
    method = policy.stub.Rollout if hasattr(request, "prompts") else policy.stub.Generate
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(aiter(method(request)))  # before any answer
    assert refused.value.code() is code
    assert message in refused.value.details()
    assert (await policy.generate(model=STABLE)).samples
