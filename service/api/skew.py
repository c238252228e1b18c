"""`GET /skew`: how the requests to the model in use, and its answers, differ from its training."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, Field, WithJsonSchema

from service.api.models import timestamp
from service.api.parameters import STRICT_QUERY
from service.api.schemas import ProblemReply, Reply
from service.api.services import Services, services_of
from service.common.errors import NothingToCompare
from service.rollout.replica_skew import ReplicaSkew
from service.serving.current_model import LoadedVersion
from service.skew.report import Bin, FeatureSkew, SkewReport, report
from service.skew.statistics import Verdict
from service.skew.tally import Tally
from service.skew.windows import DAY, HOUR, LONGEST, MINUTE, Window

router = APIRouter(tags=["health"])

_WINDOW = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
_SHORTEST = 5 * MINUTE


def _seconds(window: str) -> int:
    """Return the length of a window; raises ValueError."""
    said = _WINDOW.fullmatch(window)
    seconds = int(said[1]) * _UNITS[said[2]] if said else 0
    if not _SHORTEST <= seconds <= LONGEST:
        raise ValueError("must be a number of minutes, hours or days from 5m to 14d, as in 1h")
    return seconds


def _checked(window: str) -> str:
    _seconds(window)
    return window


WindowText = Annotated[
    str,
    AfterValidator(_checked),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4}[mhd]$"}),
    Query(description="minutes, hours or days, from 5m to 14d"),
]


class BinReply(Reply):
    """One bin."""

    label: str
    share: float = Field(description="of the rows in the bins")
    expected: float = Field(description="of the rows that the version was fitted on")


class _Divergence(Reply):
    psi: float | None = Field(
        description="the population stability index; null without rows in the bins"
    )
    js: float | None = Field(
        description="the Jensen-Shannon divergence, in bits; null without rows in the bins"
    )
    limit: float = Field(description="the PSI above which it is drift, at this many rows")
    verdict: Verdict


class FeatureSkewReply(_Divergence):
    """One feature; numbers of rows are of those in the bins."""

    name: str
    missing: int
    expected_missing: float = Field(description="rows that would be missing as in training")
    below: int = Field(description="below the smallest number of the fitted rows")
    above: int = Field(description="above the largest")
    unseen: int = Field(description="of a category that training did not see")
    bins: list[BinReply]


class ClassSkewReply(Reply):
    """How often a class was the answer."""

    label: str | int | bool
    share: float
    expected: float = Field(description="of the version's answers to its held-out rows")


class ConfidenceReply(_Divergence):
    """The largest probabilities, of the answers that have any."""

    bins: list[BinReply]


class PredictionSkewReply(_Divergence):
    """The answers."""

    classes: list[ClassSkewReply]
    confidence: ConfidenceReply | None


class SkewReply(Reply):
    """The model in use, in all replicas."""

    model: str
    version: int
    window: str
    rows: int = Field(description="answered in the window")
    sampled: int = Field(description="of these, the rows in the bins")
    since: str | None = Field(description="RFC 3339; null without rows")
    features: list[FeatureSkewReply] = Field(description="the worst first")
    uncounted: int = Field(description="features that have no bins, for lack of room")
    predictions: PredictionSkewReply
    missing: list[str] = Field(description="the addresses of replicas that do not answer")
    complete: bool = Field(
        description="false while MLflow does not say what replicas counted before they ended"
    )


@router.get(
    "/skew",
    summary="Show how what is asked and answered differs from training",
    dependencies=STRICT_QUERY,
    responses={status: {"model": ProblemReply} for status in (400, 409, 503)},
)
async def get_skew(request: Request, window: WindowText = "1h") -> SkewReply:
    """Compare the rows of the last minutes, hours or days with those of the training.

    Counts are added over all replicas, and over those that have ended. A version that was
    registered by others, or trained by an older release, has nothing to be compared with: 409.
    """
    services = services_of(request)
    in_use = services.current_model.get()
    tally = comparable(in_use)
    async with services.comparing:
        collected = await services.run(_collected, services, tally, _seconds(window))
        found = await services.run(report, tally, collected.window)
    return _reply(in_use, window, found, collected)


def comparable(loaded: LoadedVersion) -> Tally:
    """Return the counts of a version that has a reference; raises NothingToCompare."""
    tally = loaded.predictor.tally
    if tally is None:
        raise NothingToCompare(loaded.name, loaded.version, is_off=True)
    if tally.reference is None:
        raise NothingToCompare(loaded.name, loaded.version, is_off=False)
    return tally


@dataclass(frozen=True, slots=True)
class _Collected:
    window: Window
    missing: list[str]
    is_complete: bool


def _collected(services: Services, tally: Tally, seconds: int) -> _Collected:
    """Add up the counts of all replicas, including those that have ended."""
    total = tally.window(seconds)
    others, missing = services.peers.skew(tally.key, seconds, tally.layout.size)
    alive = [services.local.id]
    for one in others:
        total.add(one.window)
        if one.known:
            alive.append(one.id)
    ended, is_all = services.skew.store.of_ended(tally, alive, seconds)
    total.add(ended)
    return _Collected(total, list(missing), is_all and tally.restored)


def skew_of(services: Services, key: str, seconds: int) -> ReplicaSkew:
    """Return what this replica has counted of a version; may be called from any thread."""
    tally = services.skew.tallies.find(key)
    window = Window() if tally is None else tally.window(seconds)
    return ReplicaSkew(services.local.id, tally is not None, window)


def _reply(
    in_use: LoadedVersion, window: str, found: SkewReport, collected: _Collected
) -> SkewReply:
    labels = in_use.predictor.schema.classes
    classes = [
        ClassSkewReply(label=label, share=one.share, expected=one.expected)
        for label, one in zip(labels, found.classes, strict=True)
    ]
    confidence = None
    if found.confidence is not None:
        divergence, bins = found.confidence
        confidence = ConfidenceReply(**asdict(divergence), bins=_bins(bins))
    return SkewReply(
        model=in_use.name,
        version=in_use.version,
        window=window,
        rows=found.rows,
        sampled=found.sampled,
        since=None if found.since is None else timestamp(found.since),
        features=[_feature(one) for one in found.features],
        uncounted=found.uncounted,
        predictions=PredictionSkewReply(
            **asdict(found.answers), classes=classes, confidence=confidence
        ),
        missing=collected.missing,
        complete=collected.is_complete,
    )


def _feature(one: FeatureSkew) -> FeatureSkewReply:
    members = asdict(one)
    return FeatureSkewReply(**members.pop("divergence"), **members)


def _bins(bins: Sequence[Bin]) -> list[BinReply]:
    return [BinReply(**asdict(one)) for one in bins]
