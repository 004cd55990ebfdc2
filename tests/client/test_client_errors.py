"""The client's errors match the services'; addresses come from arguments or from this machine."""

import grpc
import pytest

from attune_client import Client, errors
from attune_client.channels import addresses_of
from services.common import errors as services_errors


def tree(module):
    return {
        cls.__name__: cls.code
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, module.AttuneError)
    }


def test_each_error_of_the_services_has_its_like():
    assert tree(services_errors).items() <= tree(errors).items()


def test_a_receipt_becomes_the_error_that_it_names():
    error = errors.from_receipt("NOT_FOUND: no item 'x'")
    assert isinstance(error, errors.NotFound)
    assert (str(error), error.code) == ("no item 'x'", grpc.StatusCode.NOT_FOUND)
    assert type(errors.from_receipt("gone")) is errors.AttuneError


def test_without_addresses_services_are_looked_for_where_attune_up_starts_them(monkeypatch):
    monkeypatch.delenv("ATTUNE_PORT_BASE", raising=False)
    here = addresses_of(None, None, None, None)
    assert (here.policy, here.reward) == ("127.0.0.1:7001", "127.0.0.1:7002")
    assert (here.trainer, here.feedback) == ("127.0.0.1:7003", "127.0.0.1:7004")
    monkeypatch.setenv("ATTUNE_PORT_BASE", "9000")
    assert addresses_of(None, None, None, None).policy == "127.0.0.1:9001"
    monkeypatch.setenv("ATTUNE_PORT_BASE", "many")
    with pytest.raises(errors.InvalidArgument, match="ATTUNE_PORT_BASE is 'many'"):
        Client()


def test_a_client_of_one_service_refuses_calls_to_another():
    with (
        Client(policy="127.0.0.1:1") as client,
        pytest.raises(errors.FailedPrecondition, match="no address of the reward service"),
    ):
        client.score([], model="latest")
