"""How a second version is used beside the one in use, as clients are told it."""

from typing import Literal

from pydantic import Field

from service.api.schemas import Reply
from service.common.traffic import Mode, Quality, Rules, Traffic

_MOST_ROWS = 1_000_000_000


class Bounds(Reply):
    """What the second version must show, and what follows where it does."""

    rows: int = Field(
        2000, ge=1, le=_MOST_ROWS, description="answered by both, from which on the rest is judged"
    )
    agreement: float | None = Field(
        None, ge=0, le=1, description="the least share that both answer alike"
    )
    errors: float | None = Field(
        None, ge=0, le=1, description="the largest share that the second version cannot answer"
    )
    latency_ratio: float | None = Field(
        None, gt=0, le=1e6, description="the most times that one row may take as long"
    )
    quality: Quality | None = Field(
        None, description="what outcomes must have shown, by a test that holds however often asked"
    )
    then: Literal["promote", "ask"] = Field(
        "ask", description="what follows where all holds: it is put in use, or nothing is done"
    )


class RulesReply(Bounds):
    """The rules of the traffic."""

    else_: Literal["end", "ask"] = Field(alias="else")


class TrafficSetting(Reply):
    """The second version, and how it is used."""

    name: str
    version: int
    mode: Mode
    percent: int
    key: str | None
    rules: RulesReply | None


def setting(traffic: Traffic) -> TrafficSetting:
    """Return how a second version is used, as clients are told it."""
    rules = traffic.rules
    return TrafficSetting(
        name=traffic.name,
        version=traffic.version,
        mode=traffic.mode,
        percent=traffic.percent,
        key=traffic.key or None,
        rules=None if rules is None else _rules(rules),
    )


def _rules(rules: Rules) -> RulesReply:
    members = {
        "rows": rules.rows,
        "agreement": rules.agreement,
        "errors": rules.errors,
        "latency_ratio": rules.latency_ratio,
        "quality": rules.quality,
        "then": "promote" if rules.promote else "ask",
        "else": "end" if rules.end else "ask",
    }
    return RulesReply.model_validate(members)
