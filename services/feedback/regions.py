"""Places in pictures and clips: which ones make sense."""

import math

from models.preprocessing.media_types import sniff_mime_type
from protos.v1.media_pb2 import Box, Point, Polygon, Region
from services.common.errors import InvalidArgument

_MIN_CORNERS, _MAX_CORNERS = 3, 1000
_MAX_MASK_BYTES = 1 << 20


def check_region(region: Region) -> None:
    """Raises InvalidArgument unless the shape lies within the picture and encloses something."""
    shape = region.WhichOneof("shape")
    if shape is None:
        raise InvalidArgument("region has no shape; set box, point, polygon or mask_png")
    if shape == "box":
        _check_box(region.box)
    elif shape == "point":
        _check_point("region.point", region.point)
    elif shape == "polygon":
        _check_polygon(region.polygon)
    else:
        _check_mask(region.mask_png)
    _check_times(region)


def _check_box(box: Box) -> None:
    edges = (box.left, box.top, box.right, box.bottom)
    if not all(0 <= edge <= 1 for edge in edges):
        raise InvalidArgument(f"region.box {_shown(edges)} must lie within 0 to 1")
    if box.left >= box.right or box.top >= box.bottom:
        raise InvalidArgument(
            f"region.box {_shown(edges)} is empty; left < right and top < bottom are needed"
        )


def _check_point(field: str, point: Point) -> None:
    if not (0 <= point.x <= 1 and 0 <= point.y <= 1):
        raise InvalidArgument(f"{field} {_shown((point.x, point.y))} must lie within 0 to 1")


def _check_polygon(polygon: Polygon) -> None:
    if not _MIN_CORNERS <= len(polygon.points) <= _MAX_CORNERS:
        raise InvalidArgument(
            f"region.polygon has {len(polygon.points)} corners; {_MIN_CORNERS} to {_MAX_CORNERS} "
            "are allowed"
        )
    for point in polygon.points:
        _check_point("region.polygon", point)


def _check_mask(mask_png: bytes) -> None:
    if sniff_mime_type(mask_png) != "image/png" or len(mask_png) > _MAX_MASK_BYTES:
        raise InvalidArgument(
            f"region.mask_png ({len(mask_png)} bytes) must be a PNG of at most {_MAX_MASK_BYTES}"
        )


def _check_times(region: Region) -> None:
    start_s = region.start_s if region.HasField("start_s") else 0.0
    end_s = region.end_s if region.HasField("end_s") else math.inf
    if not 0 <= start_s < end_s or math.isinf(start_s):
        raise InvalidArgument(
            f"region from {start_s} s to {end_s} s must begin at 0 or later and end after that"
        )


def _shown(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{n:.4g}" for n in numbers) + ")"
