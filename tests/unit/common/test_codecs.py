"""Between protobuf and conversations: round trips, and what is refused."""

import pytest

from models.preprocessing.conversation import Audio, Picture, Role, Text, TokenIds, Turn, Video
from protos.v1 import content_pb2, media_pb2, versions_pb2
from services.common import codecs
from services.common.errors import InvalidArgument, NotFound, Unimplemented
from services.common.version_store import Manifest, ManifestFile

PNG = b"\x89PNG\r\n\x1a\n and so on"


def no_media(sha256: str) -> bytes:
    raise NotFound(sha256)


CONVERSATIONS = {
    "one word": (Turn(Role.USER, (Text("hi"),)),),
    "no parts": (Turn(Role.SYSTEM, ()), Turn(Role.USER, (Text(""),))),
    "all kinds": (
        Turn(Role.SYSTEM, (Text("你好\n"),)),
        Turn(Role.USER, (Picture(PNG), Text("what?"), Audio(b"RIFF"), Video(b"GIF89a"))),
        Turn(Role.ASSISTANT, (TokenIds((0, 7, 2**32 - 1), "f1"),)),
    ),
    "typed specials": (Turn(Role.USER, (Text("<|end|><|image|>"),)),),
}


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_survives_the_wire(conversation):
    wire = codecs.prompt_to_proto(conversation).SerializeToString()
    prompt = content_pb2.Prompt.FromString(wire)
    assert codecs.conversation_from_proto(prompt, no_media) == conversation


@pytest.mark.parametrize(
    ("data", "mime_type"), [(PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"?", "")]
)
def test_a_picture_says_what_its_bytes_show(data, mime_type):
    media = codecs.medium_to_proto(Picture(data))
    assert (media.mime_type, media.modality) == (mime_type, media_pb2.MODALITY_IMAGE)


def test_media_named_by_hash_are_resolved():
    media = media_pb2.Media(modality=media_pb2.MODALITY_IMAGE, sha256="ab")
    message = content_pb2.Message(role=content_pb2.ROLE_USER, parts=[{"media": media}])
    turn = codecs.turn_from_proto(message, {"ab": b"bytes"}.__getitem__)
    assert turn.parts == (Picture(b"bytes"),)
    with pytest.raises(NotFound):
        codecs.turn_from_proto(message, no_media)


def prompt_of(**part: object) -> content_pb2.Prompt:
    message = {"role": content_pb2.ROLE_USER, "parts": [part]}
    return content_pb2.Prompt(messages=[message])


IMAGE = media_pb2.MODALITY_IMAGE
REFUSED = {
    "no messages": (content_pb2.Prompt(), "prompt.messages is empty"),
    "no role": (content_pb2.Prompt(messages=[{}]), "role is not set"),
    "unknown role": (content_pb2.Prompt(messages=[{"role": 9}]), "role is not set"),
    "empty part": (prompt_of(), "a part is empty"),
    "no source": (prompt_of(media={"modality": IMAGE}), "neither data nor sha256"),
}


@pytest.mark.parametrize(("prompt", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_conversation_is_refused(prompt, said):
    with pytest.raises(InvalidArgument, match=said):
        codecs.conversation_from_proto(prompt, no_media)


@pytest.mark.parametrize("modality", [0, media_pb2.MODALITY_TEXT, 77])
def test_a_modality_that_is_not_understood_yet_is_unimplemented(modality):
    with pytest.raises(Unimplemented, match="image, audio and video are"):
        codecs.conversation_from_proto(
            prompt_of(media={"modality": modality, "data": b"x"}), no_media
        )


def test_a_manifest_survives_the_wire():
    manifest = Manifest(
        version="policy-1",
        kind="policy",
        files=(ManifestFile(name="model.safetensors", size_bytes=3, sha256="ab"),),
        metadata={"step": "7"},
        preprocessing_fingerprint="f1",
    )
    wire = codecs.manifest_to_proto(manifest).SerializeToString()
    assert codecs.manifest_from_proto(versions_pb2.Manifest.FromString(wire)) == manifest


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0b", "a\nb"])
def test_a_manifest_cannot_name_files_elsewhere(name):
    manifest = versions_pb2.Manifest(version="v", kind="policy", files=[{"name": name}])
    with pytest.raises(InvalidArgument, match="plain name"):
        codecs.manifest_from_proto(manifest)
