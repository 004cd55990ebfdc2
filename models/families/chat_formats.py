"""How conversations are spelled in words, special tokens by their names; ids come in tokens.py.

A folder may bring a format of its own as chat_format.json. Else the token that ends a turn tells
which of the known ones it is. Templates in Jinja are not run: they are programs.
"""

from pydantic import Field

from models.section import Section

CHAT_FORMAT = "chat_format.json"

# What stands before and after.
Words = tuple[str, str]


class ChatFormat(Section):
    """The content of chat_format.json."""

    system: Words
    user: Words
    assistant: Words = Field(description="an answer starts after the first of the two")
    picture: Words = ("", "")
    picture_separator: str = ""
    written_prefix: str = ""


CHATML = ChatFormat(
    system=("<|im_start|>system\n", "<|im_end|>\n"),
    user=("<|im_start|>user\n", "<|im_end|>\n"),
    assistant=("<|im_start|>assistant\n", "<|im_end|>\n"),
)
LLAMA_3 = ChatFormat(
    system=("<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"),
    user=("<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    assistant=("<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"),
)


def llama_format(end: str) -> ChatFormat:
    """Of a Llama-class model whose turns end with this token."""
    known = {"<|im_end|>": CHATML, "<|eot_id|>": LLAMA_3}
    return known.get(end) or plain_format(end)


def plain_format(end: str) -> ChatFormat:
    """For models that were not taught a chat."""
    return ChatFormat(
        system=("", "\n\n"),
        user=("User: ", "\n\n"),
        assistant=("Assistant:", end),
        written_prefix=" ",
    )


def janus_format(end: str, begin_of_image: str, end_of_image: str) -> ChatFormat:
    """Of Janus and Janus-Pro."""
    return ChatFormat(
        system=("", "\n\n"),
        user=("<|User|>: ", "\n\n"),
        assistant=("<|Assistant|>:", end),
        picture=(begin_of_image, end_of_image),
        picture_separator="\n",
        written_prefix=" ",
    )
