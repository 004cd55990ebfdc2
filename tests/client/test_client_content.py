"""Prompts and media as the client makes them."""

import pytest

from attune_client import assistant, audio, image, system, user, video
from attune_client.content import MAX_MEDIA_BYTES, answer_to_proto, prompt_to_proto
from attune_client.errors import InvalidArgument
from attune_client.media_types import sniff_mime_type as sniffed_by_client
from attune_client.protos.v1 import content_pb2, media_pb2
from models.preprocessing.media_types import sniff_mime_type as sniffed_by_services
from tests.support.pictures import png

WAV = b"RIFF\x00\x00\x00\x00WAVEfmt "
HEADS = [
    png(), b"\xff\xd8\xff\xe0", b"GIF87a", b"GIF89a", b"fLaC", b"OggS", b"ID3\x04",
    b"\x1aE\xdf\xa3", b"RIFF\x00\x00\x00\x00WEBPVP8 ", WAV, b"\x00\x00\x00\x20ftypisom",
    b"", b"hello", b"RIFF",
]  # fmt: skip


@pytest.mark.parametrize("data", HEADS)
def test_the_client_and_the_services_tell_media_alike(data):
    assert sniffed_by_client(data) == sniffed_by_services(data)


def test_a_string_is_the_question_of_a_user():
    [message] = prompt_to_proto("what colour?").messages
    assert message.role == content_pb2.ROLE_USER
    assert [part.text for part in message.parts] == ["what colour?"]


def test_media_and_text_are_the_parts_of_one_message(tmp_path):
    file = tmp_path / "cat.png"
    file.write_bytes(png())
    [message] = prompt_to_proto([image(file), audio(WAV), video(b"GIF89a"), "what?"]).messages
    media = [part.media for part in message.parts[:3]]
    assert [m.modality for m in media] == [
        media_pb2.MODALITY_IMAGE,
        media_pb2.MODALITY_AUDIO,
        media_pb2.MODALITY_VIDEO,
    ]
    assert [m.mime_type for m in media] == ["image/png", "audio/wav", "image/gif"]
    assert media[0].data == png()
    assert message.parts[3].text == "what?"


def test_messages_are_a_conversation():
    prompt = prompt_to_proto([system("be brief"), user("hi"), assistant("hello"), user("bye")])
    assert [m.role for m in prompt.messages] == [1, 2, 3, 2]
    assert prompt_to_proto(user("hi")).messages[0].parts[0].text == "hi"


def test_an_answer_is_what_the_assistant_says():
    assert answer_to_proto("a fox").role == content_pb2.ROLE_ASSISTANT
    assert len(answer_to_proto([image(png()), "a fox"]).parts) == 2


def test_parts_and_messages_do_not_mix():
    with pytest.raises(InvalidArgument, match="it has both"):
        prompt_to_proto([user("hi"), "and"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match=r"a part is a bytes; give a string, image\(…\)"):
        prompt_to_proto([b"hi"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("make", "data", "said"),
    [
        (image, WAV, "the data is audio/wav, which is no image"),
        (audio, png(), "the data is image/png, which is no audio"),
        (video, b"hello", "the data is of no known type, which is no video"),
    ],
)
def test_media_of_another_kind_are_refused(make, data, said):
    with pytest.raises(InvalidArgument, match=said):
        make(data)


def test_media_that_are_too_large_are_refused_before_they_are_read(tmp_path):
    file = tmp_path / "long.mp4"
    with open(file, "wb") as hole:
        hole.truncate(MAX_MEDIA_BYTES + (1 << 20))
    with pytest.raises(InvalidArgument, match=r"long.mp4 has 33.0 MiB; a media item may have 32"):
        video(file)
