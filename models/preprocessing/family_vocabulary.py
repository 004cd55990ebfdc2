"""A family's tokenizer.json without its special tokens, so that no text encodes to one.

Added tokens that are not special (`<tool_call>`, runs of blanks) stay text, under their own ids.
"""

import re
from typing import Any

# The content of a tokenizer.json; other programs write it, so only what is used is checked.
Definition = dict[str, Any]


def text_only(definition: Definition, special_ids: frozenset[int]) -> Definition:
    """The definition of a tokenizer that knows neither `special_ids` nor tokens marked special.

    Raises ValueError for a tokenizer that could not spell every text without them.
    """
    model = definition["model"]
    if model.get("type") != "BPE":
        raise ValueError(f"the tokenizer's model.type is {model.get('type')!r}; expected 'BPE'")
    has_bytes = model.get("byte_fallback") and {f"<0x{b:02X}>" for b in range(256)} <= set(
        model["vocab"]
    )
    if not (spells_bytes(definition) or has_bytes):
        raise ValueError("the tokenizer has neither a ByteLevel decoder nor 256 fallback bytes")
    added = definition.get("added_tokens") or []
    hidden = special_ids | {token["id"] for token in added if token["special"]}
    kept = [token for token in added if token["id"] not in hidden]
    vocabulary = {**model["vocab"], **{token["content"]: token["id"] for token in kept}}
    vocabulary = {token: id_ for token, id_ in vocabulary.items() if id_ not in hidden}
    return {
        **definition,
        "added_tokens": kept,
        "post_processor": None,
        "truncation": None,
        "padding": None,
        "model": {**model, "vocab": vocabulary, "unk_token": None},
    }


def spells_bytes(definition: Definition) -> bool:
    """Whether tokens are written in GPT-2's stand-ins for bytes."""
    decoder = definition.get("decoder") or {}
    parts = (decoder, *decoder.get("decoders", ()))
    return any(part.get("type") == "ByteLevel" for part in parts)


def bytes_by_id(definition: Definition) -> dict[int, bytes]:
    """What each id of a text-only definition stands for."""
    spelled = _stand_ins_to_bytes if spells_bytes(definition) else _piece_to_bytes
    whole = {token["content"] for token in definition["added_tokens"]}
    return {
        token_id: token.encode() if token in whole else spelled(token)
        for token, token_id in definition["model"]["vocab"].items()
    }


def byte_of_character() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes, inverted."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_BYTE_OF = byte_of_character()
_FALLBACK = re.compile("<0x([0-9A-F]{2})>")


def _stand_ins_to_bytes(token: str) -> bytes:
    if not all(character in _BYTE_OF for character in token):
        return token.encode()
    return bytes(_BYTE_OF[character] for character in token)


def _piece_to_bytes(token: str) -> bytes:
    """SentencePiece: a byte by its number, or text whose blanks are written as a low line."""
    fallback = _FALLBACK.fullmatch(token)
    return bytes([int(fallback[1], 16)]) if fallback else token.replace("\u2581", " ").encode()
