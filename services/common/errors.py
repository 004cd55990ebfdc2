"""The exception tree: each class carries the gRPC and HTTP status that it becomes on the wire.

One interceptor (server.py) and one FastAPI handler (gateway) translate; `from_rpc` turns a status
that a client received back into the same tree.
"""

import grpc


class AttuneError(Exception):
    """Something went wrong inside; base of all errors that a service reports by status."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    http_status: int = 500
    retryable: bool = False


class InvalidArgument(AttuneError):
    """The request can never succeed as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    http_status = 400


class Unauthenticated(AttuneError):
    code = grpc.StatusCode.UNAUTHENTICATED
    http_status = 401


class PermissionDenied(AttuneError):
    code = grpc.StatusCode.PERMISSION_DENIED
    http_status = 403


class NotFound(AttuneError):
    """An unknown model, alias, version, run, item or media hash."""

    code = grpc.StatusCode.NOT_FOUND
    http_status = 404


class AlreadyExists(AttuneError):
    """The same idempotency key came with another body."""

    code = grpc.StatusCode.ALREADY_EXISTS
    http_status = 409


class FailedPrecondition(AttuneError):
    """The state forbids it: an older epoch, another fingerprint, a version that is not prepared."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 409


class ResourceExhausted(AttuneError):
    """A queue or a limit is full; try again later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    http_status = 429
    retryable = True


class Unavailable(AttuneError):
    """Draining, starting or unreachable; try again, perhaps elsewhere."""

    code = grpc.StatusCode.UNAVAILABLE
    http_status = 503
    retryable = True


class DeadlineExceeded(AttuneError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    retryable = True


class Aborted(AttuneError):
    """Ended from outside: a weight swap, a stop; nothing was applied."""

    code = grpc.StatusCode.ABORTED
    http_status = 409
    retryable = True


class DataLoss(AttuneError):
    """Bytes that do not match their checksum."""

    code = grpc.StatusCode.DATA_LOSS
    http_status = 500


class Unimplemented(AttuneError):
    """This server does not do that."""

    code = grpc.StatusCode.UNIMPLEMENTED
    http_status = 501


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
        Aborted,
        DataLoss,
        Unimplemented,
    )
}


def as_attune_error(error: Exception) -> AttuneError:
    """What a raised exception is on the wire: ValueError a user's doing, all else internal."""
    if isinstance(error, AttuneError):
        return error
    if isinstance(error, grpc.RpcError):
        return from_rpc(error)
    if isinstance(error, ValueError):
        return InvalidArgument(str(error))
    return AttuneError(f"internal error ({type(error).__name__}); the log of the service has it")


def from_rpc(error: grpc.RpcError) -> AttuneError:
    """The error that a server raised, out of the status that reached its client."""
    code = error.code()
    details = error.details() or code.name
    return _BY_CODE.get(code, AttuneError)(details)
