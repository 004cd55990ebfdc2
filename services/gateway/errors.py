"""What a failure looks like: `{"error": {message, type, param, code}}`, as OpenAI's API has it.

`add_error_handlers` registers the only places where exceptions become HTTP answers.
"""

import http

import grpc
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.common.errors import AttuneError, InvalidArgument, NotFound, as_attune_error
from services.common.logs import get_logger
from services.gateway.validation import describe_validation_error

_RETRY_AFTER_S = {429: "1", 503: "2"}
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_CODES = {
    413: "body_too_large",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "service_unavailable",
    504: "timeout",
}


class BadRequest(InvalidArgument):
    """A request that can never succeed, with the field that is to blame."""

    def __init__(self, message: str, param: str | None = None, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code_name = code


class ModelNotFound(NotFound):
    """No such alias or version."""

    param = "model"
    code_name = "model_not_found"


class BodyTooLarge(InvalidArgument):
    """More bytes than a request may have."""

    http_status = 413


class ClientDisconnected(Exception):
    """The client left before its answer was ready; nobody reads what follows."""


def add_error_handlers(app: FastAPI) -> None:
    """Makes every failure of `app` answer in the one shape."""
    app.add_exception_handler(AttuneError, _answer_error)
    app.add_exception_handler(grpc.RpcError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(ClientDisconnected, _answer_nobody)
    app.add_exception_handler(Exception, _answer_error)


def error_body(error: Exception) -> dict[str, object]:
    """The JSON of a failure; also sent as an event where a stream has already begun."""
    known = as_attune_error(error)
    return {
        "error": {
            "message": str(known) or type(known).__name__,
            "type": _type_of(known.http_status),
            "param": getattr(known, "param", None),
            "code": getattr(known, "code_name", None) or _code_of(known.http_status),
        }
    }


def error_response(error: Exception) -> JSONResponse:
    """The whole answer to a request that failed with `error`."""
    status = as_attune_error(error).http_status
    retry_after = _RETRY_AFTER_S.get(status)
    headers = {"Retry-After": retry_after} if retry_after else None
    return JSONResponse(error_body(error), status, headers)


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    if as_attune_error(error).http_status == 500:
        get_logger(__name__).error("request failed", path=request.url.path, exc_info=error)
    return error_response(error)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return error_response(BadRequest(*describe_validation_error(error.errors())))


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    """For what the framework itself refuses: an unknown path, a wrong method, a broken form."""
    assert isinstance(error, HTTPException)
    body = {
        "message": f"{request.method} {request.url.path}: {error.detail.lower()}",
        "type": _type_of(error.status_code),
        "param": None,
        "code": _code_of(error.status_code),
    }
    return JSONResponse({"error": body}, error.status_code, error.headers)


async def _answer_nobody(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(None, 499)


def _type_of(http_status: int) -> str:
    default = "invalid_request_error" if http_status < 500 else "server_error"
    return _TYPES.get(http_status, default)


def _code_of(http_status: int) -> str:
    default = http.HTTPStatus(http_status).phrase.lower().replace(" ", "_")
    return _CODES.get(http_status, default)
