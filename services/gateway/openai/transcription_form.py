"""The form of POST /v1/audio/transcriptions, field by field."""

from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.datastructures import UploadFile as ReceivedFile

from services.gateway.openai.fields import ModelName, inert, refuse_together


def _check_is_file(value: object) -> object:
    if not isinstance(value, ReceivedFile):
        message = "expected a file: a part of the form with a filename"
        raise PydanticCustomError("no_file", message)
    return value


class TranscriptionForm(BaseModel):
    """What the client asks for. All of a form is text, so that numbers and booleans are read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: Annotated[UploadFile, BeforeValidator(_check_is_file)]
    model: ModelName
    response_format: Literal["json", "text", "verbose_json"] = "json"
    temperature: float = Field(0, ge=0, le=1)
    stream: bool = False

    language: Annotated[object, inert("en")] = None
    prompt: Annotated[object, inert("")] = None
    chunking_strategy: Annotated[object, inert("auto")] = None
    include: Annotated[object, inert()] = Field(None, alias="include[]")
    timestamp_granularities: Annotated[object, inert()] = Field(
        None, alias="timestamp_granularities[]"
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.stream and self.response_format != "json":
            refuse_together("stream", "stream needs response_format to be json")
        return self
