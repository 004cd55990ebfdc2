"""The error tree: its statuses, and the way from exception to status and back."""

import grpc
import pytest

from services.common import errors
from services.common.errors import AttuneError, as_attune_error, from_rpc

CLASSES = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, AttuneError) and cls is not AttuneError
]


class Received(grpc.RpcError):
    """A status as a client sees it."""

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


@pytest.mark.parametrize("cls", CLASSES)
def test_a_status_that_reached_the_client_becomes_the_class_it_was(cls):
    error = from_rpc(Received(cls.code, "why"))
    assert type(error) is cls
    assert str(error) == "why"


def test_every_class_has_a_status_of_its_own():
    assert len(CLASSES) == 12
    assert len({cls.code for cls in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED])
def test_a_status_without_a_class_becomes_the_base(code):
    error = from_rpc(Received(code, None))
    assert type(error) is AttuneError
    assert str(error) == code.name


def test_only_what_may_pass_by_itself_is_retryable():
    retryable = {cls.__name__ for cls in CLASSES if cls.retryable}
    assert retryable == {"ResourceExhausted", "Unavailable", "DeadlineExceeded", "Aborted"}


def test_a_value_error_is_the_callers_doing():
    error = as_attune_error(ValueError("n is 0"))
    assert (type(error), str(error)) == (errors.InvalidArgument, "n is 0")


def test_any_other_exception_is_internal_and_keeps_its_words_to_the_log():
    error = as_attune_error(KeyError("/home/secret"))
    assert error.code is grpc.StatusCode.INTERNAL
    assert "KeyError" in str(error)
    assert "secret" not in str(error)


def test_errors_of_the_tree_and_of_other_services_pass_unchanged():
    own = errors.NotFound("no run 'x'")
    assert as_attune_error(own) is own
    passed_on = as_attune_error(Received(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"))
    assert (type(passed_on), str(passed_on)) == (errors.ResourceExhausted, "full")
