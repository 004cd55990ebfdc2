"""GET /api/examples: held-out items of the default world to try the model with."""

import base64
from random import Random
from typing import Any

from fastapi import APIRouter

from models.preprocessing.conversation import Picture, Text
from services.common.world.items import make_item

router = APIRouter()
_FAMILIES = ("caption", "vqa", "draw", "align")
_NUM_ITEMS = 10_000


@router.get("/api/examples")
def get_examples() -> dict[str, Any]:
    """One item of each family, drawn anew each time."""
    rng = Random()
    return {"examples": [_example(family, rng.randrange(_NUM_ITEMS)) for family in _FAMILIES]}


def _example(family: Any, index: int) -> dict[str, Any]:
    item = make_item(family, "heldout", index)
    (turn,) = item.conversation
    pictures = [part.data for part in turn.parts if isinstance(part, Picture)]
    return {
        "item_id": item.item_id,
        "task": family,
        "text": " ".join(part.text for part in turn.parts if isinstance(part, Text)),
        "picture": _data_url(pictures[0]) if pictures else None,
        "output": "image" if family == "draw" else "text",
    }


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
