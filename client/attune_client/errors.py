"""What a call can end with: one class per gRPC status, with the server's own words."""

import grpc


class AttuneError(Exception):
    """Base of all; itself an error inside a service, whose log says more."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    # Whether the same request may succeed a moment later; the client has tried until the deadline.
    retryable: bool = False


class InvalidArgument(AttuneError):
    """The request can never succeed as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(AttuneError):
    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(AttuneError):
    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(AttuneError):
    """An unknown model, alias, version, run, item or media hash."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(AttuneError):
    """The same idempotency key came with another body."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(AttuneError):
    """The state forbids it."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class ResourceExhausted(AttuneError):
    """A queue or a limit is full."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    retryable = True


class MessageTooLarge(ResourceExhausted):
    """A request or an answer is larger than a message may be; a repeat would be no smaller."""

    retryable = False


class Unavailable(AttuneError):
    """Draining, starting or unreachable."""

    code = grpc.StatusCode.UNAVAILABLE
    retryable = True


class DeadlineExceeded(AttuneError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(AttuneError):
    code = grpc.StatusCode.CANCELLED


class Aborted(AttuneError):
    """Ended from outside; nothing was applied."""

    code = grpc.StatusCode.ABORTED


class DataLoss(AttuneError):
    """Bytes that do not match their checksum."""

    code = grpc.StatusCode.DATA_LOSS


class Unimplemented(AttuneError):
    """This server does not do that."""

    code = grpc.StatusCode.UNIMPLEMENTED


_BY_CODE: dict[grpc.StatusCode, type[AttuneError]] = {
    cls.code: cls
    for cls in (
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        ResourceExhausted,
        Unavailable,
        DeadlineExceeded,
        Cancelled,
        Aborted,
        DataLoss,
        Unimplemented,
    )
}
_BY_NAME = {code.name: cls for code, cls in _BY_CODE.items()}


def from_rpc(error: grpc.RpcError) -> AttuneError:
    """The error that a server raised, out of the status that arrived."""
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in (details or ""):
        return MessageTooLarge(details)
    return _BY_CODE.get(code, AttuneError)(details or code.name)


def from_receipt(text: str) -> AttuneError:
    """The error of one judgement among several: "NOT_FOUND: no item 'x'"."""
    name, _, details = text.partition(": ")
    return _BY_NAME.get(name, AttuneError)(details or text)
