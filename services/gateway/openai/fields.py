"""Field types that the requests share: strict bodies, limits, fields that must ask for nothing."""

import json
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


class StrictBody(BaseModel):
    """A JSON body in which an unknown field or another type is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def inert(*allowed: object) -> AfterValidator:
    """A field of OpenAI's that this server does not support: accepted where it asks for nothing.

    `allowed` are the values that do so; null and leaving it out always do.
    """

    def check(value: object) -> object:
        if value is None or any(value == a and type(value) is type(a) for a in allowed):
            return value
        values = " or ".join(["null", *(json.dumps(a) for a in allowed)])
        message = "not supported by this server; leave it out, or send {values}"
        raise PydanticCustomError("unsupported", message, {"values": values})

    return AfterValidator(check)


def refuse_together(param: str, message: str) -> NoReturn:
    """For model validators: fields that do not go together, with the one to blame."""
    raise PydanticCustomError("conflict", "{message}", {"message": message, "param": param})


def _check_unicode(text: str) -> str:
    """JSON can spell half of a character, which no UTF-8 and so no protobuf can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = "not valid Unicode: a lone surrogate at character {at}"
        raise PydanticCustomError("unicode", message, {"at": error.start}) from error
    return text


def _as_stop_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Ignored = Annotated[object, Field(description="accepted and ignored: it changes no answer")]
Words = Annotated[str, AfterValidator(_check_unicode)]
ModelName = Annotated[Words, Field(min_length=1, max_length=256)]
Seed = Annotated[int, Field(ge=0, lt=1 << 64)]
Count = Annotated[int, Field(ge=1, lt=1 << 31)]
GuidanceScale = Annotated[float, Field(ge=0, le=20)]
StopList = Annotated[
    list[Annotated[Words, Field(min_length=1, max_length=64)]],
    Field(max_length=4),
    BeforeValidator(_as_stop_list),
]
