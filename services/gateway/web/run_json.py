"""Runs and their events as the page reads them."""

import base64
import math
from typing import Any

from models.preprocessing.media_types import sniff_mime_type
from protos.v1.media_pb2 import MODALITY_AUDIO, Media
from protos.v1.training_orchestrator_pb2 import Run, RunEvent, RunState, SampleShown

_PNG = b"\x89PNG\r\n\x1a\n"


def run_to_json(run: Run) -> dict[str, Any]:
    """A run without its recipe."""
    return {
        "run_id": run.run_id,
        "stage": run.stage,
        "name": run.name,
        "state": _state_name(run.state),
        "step": run.step,
        "total_steps": run.total_steps,
        "created_at_s": run.created_at_s,
        "updated_at_s": run.updated_at_s,
        "initial_version": run.initial_version,
        "latest_version": run.latest_version,
        "alias": run.alias,
        "error": run.error,
    }


def event_to_json(event: RunEvent) -> dict[str, Any]:
    """One event; `kind` names which of the other fields it has."""
    kind = event.WhichOneof("kind")
    return {
        "sequence": event.sequence,
        "at_s": event.at_s,
        "step": event.step,
        "kind": kind,
        **_content(event, kind),
    }


def _content(event: RunEvent, kind: str | None) -> dict[str, Any]:
    match kind:
        case "metrics":
            return {"metrics": {k: _finite(v) for k, v in event.metrics.values.items()}}
        case "state":
            return {"state": _state_name(event.state.state), "message": event.state.message}
        case "log":
            return {"level": event.log.level, "text": event.log.text}
        case "sample":
            return {"sample": _sample_to_json(event.sample)}
        case "progress":
            progress = event.progress
            return {"phase": progress.phase, "done": progress.done, "total": progress.total}
        case "published":
            return {"version": event.published.version, "alias": event.published.alias}
    return {}


def _sample_to_json(sample: SampleShown) -> dict[str, Any]:
    return {
        "task": sample.task,
        "prompt_text": sample.prompt_text,
        "answer_text": sample.answer_text,
        "prompt_image": _data_url(sample.prompt_image_png),
        "answer_image": _data_url(sample.answer_image_png),
        "prompt_media": [_medium_to_json(media) for media in sample.prompt_media],
        "reward": _finite(sample.reward) if sample.HasField("reward") else None,
    }


def _medium_to_json(media: Media) -> dict[str, Any]:
    """A recording or a clip; `url` is null for one that was not kept or cannot be played."""
    is_recording = media.modality == MODALITY_AUDIO
    mime_type = sniff_mime_type(media.data) or ""
    is_playable = mime_type.startswith(("audio/",) if is_recording else ("video/", "image/gif"))
    return {
        "kind": "recording" if is_recording else "clip",
        "url": _encoded(media.data, mime_type) if is_playable else None,
    }


def _data_url(png: bytes) -> str | None:
    """Only what begins as a PNG is shown to a browser as one."""
    return _encoded(png, "image/png") if png.startswith(_PNG) else None


def _encoded(data: bytes, mime_type: str) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def _finite(value: float) -> float | None:
    """JSON has no NaN; the page leaves a gap."""
    return value if math.isfinite(value) else None


def _state_name(state: "RunState.ValueType") -> str:
    return RunState.Name(state).removeprefix("RUN_STATE_").lower()
