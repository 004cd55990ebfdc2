"""GET /api/examples: held-out items of the default world to try the model with."""

import base64
from random import Random
from typing import Any

from fastapi import APIRouter

from models.preprocessing.conversation import Medium, Text
from models.preprocessing.media_types import sniff_mime_type
from services.common.world.families.exercise import FAMILIES
from services.common.world.items import make_item

router = APIRouter()
_NUM_ITEMS = 10_000


@router.get("/api/examples")
def get_examples() -> dict[str, Any]:
    """One item of each family, drawn anew each time; media as data URLs, in order."""
    rng = Random()
    return {"examples": [_example(family, rng.randrange(_NUM_ITEMS)) for family in FAMILIES]}


def _example(family: Any, index: int) -> dict[str, Any]:
    item = make_item(family, "heldout", index)
    (turn,) = item.conversation
    return {
        "item_id": item.item_id,
        "task": family,
        "text": " ".join(part.text for part in turn.parts if isinstance(part, Text)),
        "media": [_data_url(part.data) for part in turn.parts if isinstance(part, Medium)],
        "output": "image" if family == "draw" else "text",
    }


def _data_url(data: bytes) -> str:
    return f"data:{sniff_mime_type(data)};base64,{base64.b64encode(data).decode()}"
