"""A training as the tags of its MLflow run: written, and read back with distrust."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

import msgspec
import orjson

from service.common.domain import Comparison, Fault, Note, Training, TrainingState
from service.common.search import SearchState

STATUS: dict[TrainingState, str] = {
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
}
_FAULTS: dict[str, Fault] = {name: name for name in get_args(Fault)}
_LONGEST_TAG = 5000
"""Characters that MLflow keeps of a tag."""


def tags_of(training: Training) -> dict[str, str]:
    """Return the tags of a training."""
    tags = {
        "state": training.state,
        **progress_tags(training.stage, training.progress, training.search),
        "owner": training.owner,
        "beat": f"{training.beat_at:.3f}",
        "model": training.name,
        "model_type": training.model_type,
        "data_set": training.data_set,
        "used": str(training.used).lower(),
        "missing": " ".join(training.missing),
        "seconds": orjson.dumps(dict(training.seconds)).decode(),
        "notes": _written(training.notes),
    }
    if training.comparison is not None:
        tags["comparison"] = orjson.dumps(asdict(training.comparison)).decode()
    if training.error is not None:
        tags["error"] = training.error[:2000]
    if training.fault is not None:
        tags["fault"] = training.fault
    if training.version is not None:
        tags["version"] = str(training.version)
        tags["metrics"] = orjson.dumps(dict(training.metrics)).decode()
    return tags


def progress_tags(stage: str, progress: float, search: SearchState | None) -> dict[str, str]:
    """Return the tags that say how far a training has come."""
    tags = {"stage": stage, "progress": f"{progress:.3f}"}
    if search is not None:
        tags |= _in_parts("search", orjson.dumps(asdict(search)).decode())
    return tags


def _written(notes: Sequence[Note]) -> str:
    """Return as many of the notes as a tag holds."""
    for count in range(len(notes), -1, -1):
        text = orjson.dumps([asdict(note) for note in notes[:count]]).decode()
        if len(text) <= _LONGEST_TAG:
            break
    return text


def _notes(text: str | None) -> tuple[Note, ...]:
    try:
        return msgspec.json.decode(text or "[]", type=tuple[Note, ...])
    except msgspec.DecodeError:
        return ()


def _comparison(text: str | None) -> Comparison | None:
    try:
        return msgspec.json.decode(text, type=Comparison) if text else None
    except msgspec.DecodeError:
        return None


def _in_parts(name: str, text: str) -> dict[str, str]:
    """Return tags that hold a text together: the first says how many there are."""
    parts = [text[at : at + _LONGEST_TAG] for at in range(0, len(text), _LONGEST_TAG)]
    return {name: str(len(parts)), **{f"{name}.{at}": part for at, part in enumerate(parts)}}


def _search(tags: Mapping[str, str]) -> SearchState | None:
    if "search" not in tags:
        return None
    count = int(tags["search"]) if re.fullmatch(r"[0-9]{1,2}", tags["search"]) else 0
    text = "".join(tags.get(f"search.{at}", "") for at in range(count))
    try:
        return msgspec.json.decode(text, type=SearchState)
    except msgspec.DecodeError:
        return SearchState(metric="")


def training_of(run: Any) -> Training:
    """Read a run; any of its tags may have been changed in MLflow's page, so none is trusted."""
    tags: Mapping[str, str] = run.data.tags
    ended = run.info.end_time
    state, version = tags.get("state", ""), tags.get("version", "")
    return Training(
        id=run.info.run_id,
        state=state if state in STATUS else "failed",
        created_at=run.info.start_time / 1000,
        name=tags.get("model", ""),
        model_type=tags.get("model_type", ""),
        stage=tags.get("stage", ""),
        progress=min(1.0, max(0.0, _real(tags.get("progress")))),
        finished_at=ended / 1000 if ended else None,
        error=tags.get("error"),
        fault=_FAULTS.get(tags.get("fault", "")),
        version=int(version) if re.fullmatch(r"[1-9][0-9]{0,8}", version) else None,
        metrics=_reals(tags.get("metrics")),
        used=tags.get("used") == "true",
        missing=tuple(tags.get("missing", "").split()),
        seconds=_reals(tags.get("seconds")),
        notes=_notes(tags.get("notes")),
        comparison=_comparison(tags.get("comparison")),
        search=_search(tags),
        data_set=tags.get("data_set", ""),
        owner=tags.get("owner", ""),
        beat_at=_real(tags.get("beat")),
    )


def _real(text: str | None) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _reals(text: str | None) -> dict[str, float]:
    try:
        value = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, int | float)}
