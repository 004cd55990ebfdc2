"""The end of a service's log as people read it: JSON lines become time, level, event, exception."""

import json
import os
from pathlib import Path
from typing import Any

_NUM_LINES = 12
_NUM_BYTES = 32_768
_PLUMBING = ("timestamp", "level", "event", "service", "module", "exception")


def log_tail(path: Path, since_byte: int = 0) -> str:
    """The last lines written after a place in the log; empty where there is none."""
    try:
        with open(path, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(since_byte, size - _NUM_BYTES))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [part for line in text.splitlines() for part in _readable(line).splitlines()]
    return "\n".join(lines[-_NUM_LINES:])


def _readable(line: str) -> str:
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError:
        return line
    if not isinstance(entry, dict) or "event" not in entry:
        return line
    clock = str(entry.get("timestamp", ""))[11:19]
    details = " ".join(f"{k}={v}" for k, v in entry.items() if k not in _PLUMBING)
    said = f"{clock} {entry.get('level', '')} {entry['event']} {details}".strip()
    exception = entry.get("exception", "")
    return f"{said[:200]}\n{exception}" if exception else said[:200]
