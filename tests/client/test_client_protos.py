"""The client's copy of the contracts is the same to protobuf as the services'."""

import importlib
from pathlib import Path

import pytest

from protos import generate

NAMES = sorted(p.stem for p in (generate.ROOT / "protos/v1").glob("*_pb2.py"))


@pytest.mark.parametrize("name", NAMES)
def test_both_copies_live_in_one_process_under_the_same_descriptors(name):
    services = importlib.import_module(f"protos.v1.{name}")
    client = importlib.import_module(f"attune_client.protos.v1.{name}")
    assert services.DESCRIPTOR.serialized_pb == client.DESCRIPTOR.serialized_pb
    assert services.DESCRIPTOR is client.DESCRIPTOR
    assert client.DESCRIPTOR.name == f"protos/v1/{name.removesuffix('_pb2')}.proto"


def test_messages_of_both_copies_read_each_other():
    from attune_client.protos.v1 import content_pb2 as client
    from protos.v1 import content_pb2 as services

    message = services.Message(role=client.ROLE_USER, parts=[client.Part(text="hi")])
    assert client.Message.FromString(message.SerializeToString()).parts[0].text == "hi"


def test_the_copy_imports_nothing_of_the_services():
    folder = Path(generate.ROOT, "client/attune_client/protos/v1")
    for path in folder.glob("*_pb2*"):
        assert "from protos." not in path.read_text(), path.name
        assert "'protos.v1." not in path.read_text(), path.name
