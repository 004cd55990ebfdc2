"""What `response_format` asks: text, JSON, JSON of a schema, or (beyond OpenAI's) a regex."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from protos.v1.trajectory_pb2 import SamplingParams
from services.gateway.openai.fields import StrictBody, Words

_ANY_OBJECT = '{"type": "object"}'


class TextFormat(StrictBody):
    type: Literal["text"]


class JsonObjectFormat(StrictBody):
    type: Literal["json_object"]


class JsonSchema(StrictBody):
    """`name` and `description` are for models that read them; answers are always held to it."""

    name: Words | None = None
    description: Words | None = None
    json_schema: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(StrictBody):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class RegexFormat(StrictBody):
    type: Literal["regex"]
    pattern: Words


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat | RegexFormat, Field(discriminator="type")
]


def set_form(sampling: SamplingParams, response_format: ResponseFormat | None) -> None:
    """Puts the form that is asked for into the contract's parameters."""
    match response_format:
        case JsonObjectFormat():
            sampling.json_schema = _ANY_OBJECT
        case JsonSchemaFormat(json_schema=asked):
            sampling.json_schema = json.dumps(asked.json_schema)
        case RegexFormat(pattern=pattern):
            sampling.regex = pattern
