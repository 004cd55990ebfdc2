"""Plotly's JavaScript as its Python package carries it, and what a strict policy needs to know.

The bundle fills one empty style sheet by script, which the policy allows by the hash of nothing,
and adds a second with the styles of maps, unless it finds an element that bears that one's id.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

_MAP_STYLE_ID = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


@dataclass(frozen=True)
class PlotlyBundle:
    """The file, the name of its content, and the id of the style sheet that is not wanted."""

    path: Path
    digest: str
    map_style_id: str | None

    @cache  # noqa: B019 - one bundle per process
    def gzipped(self) -> bytes:
        """The compressed file: 1.4 MB in place of 4.8."""
        return gzip.compress(self.path.read_bytes(), compresslevel=6, mtime=0)


@cache
def load_plotly() -> PlotlyBundle:
    """Finds the bundle; about 20 ms, once."""
    path = Path(str(resources.files("plotly") / "package_data" / "plotly.min.js"))
    source = path.read_bytes()
    found = _MAP_STYLE_ID.search(source.decode())
    return PlotlyBundle(path, hashlib.sha256(source).hexdigest()[:16], found[1] if found else None)
