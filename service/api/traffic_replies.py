"""What is told of a second version, made of the counts of all replicas."""

from collections import Counter
from dataclasses import asdict

from service.api.change_replies import EpochReply
from service.api.models import timestamp
from service.api.traffic_schemas import (
    CheckReply,
    DisagreementReply,
    JudgementReply,
    LatencyReply,
    TrafficState,
    TruthReply,
)
from service.api.traffic_setting import setting
from service.common.domain import Label
from service.common.traffic import Compared, Rules, Traffic
from service.rollout.traffic_counts import AllCounts
from service.serving.current_model import LoadedVersion
from service.serving.quality import wilson
from service.traffic.comparison import OTHER_PAIRS
from service.traffic.evidence import evidence
from service.traffic.rules import judge

_MOST_SHOWN = 50


def state(
    in_use: LoadedVersion, traffic: Traffic, since: float | None, counts: AllCounts
) -> TrafficState:
    """Return what is known of a second version since its epoch."""
    compared = counts.compared
    low, high = wilson(compared.agreed, compared.rows) if compared.rows else (None, None)
    return TrafficState(
        **setting(traffic).model_dump(by_alias=True),
        in_use=EpochReply(name=in_use.name, version=in_use.version, epoch=in_use.epoch),
        since=None if since is None else timestamp(since),
        in_use_rows=compared.in_use_rows,
        second_rows=compared.second_rows,
        rows=compared.rows,
        agreement=compared.agreement,
        low=low,
        high=high,
        disagreements=_disagreements(compared, in_use.predictor.schema.classes),
        errors=compared.errors,
        in_use_errors=compared.in_use_errors,
        shed=compared.shed,
        latency=_latency(compared),
        outcomes=_truth(compared),
        judgement=None if traffic.rules is None else _judgement(traffic.rules, compared),
        missing=list(counts.missing),
    )


def _disagreements(compared: Compared, classes: tuple[Label, ...]) -> list[DisagreementReply]:
    shown = []
    for pair, rows in Counter(compared.disagreed).most_common(_MOST_SHOWN):
        if pair != OTHER_PAIRS:
            first, second = map(int, pair.split())
            shown.append(
                DisagreementReply(in_use=classes[first], second=classes[second], rows=rows)
            )
    return shown


def _latency(compared: Compared) -> LatencyReply | None:
    ratio = compared.latency_ratio
    if ratio is None:
        return None
    return LatencyReply(
        timed=compared.timed,
        in_use_ms=compared.in_use_seconds / compared.timed * 1000,
        second_ms=compared.second_seconds / compared.timed * 1000,
        ratio=ratio,
    )


def _truth(compared: Compared) -> TruthReply | None:
    if not compared.outcomes:
        return None
    one, other = compared.only_in_use_right, compared.only_second_right
    return TruthReply(
        rows=compared.outcomes,
        only_in_use_right=one,
        only_second_right=other,
        **asdict(evidence(one, other, compared.outcomes)),
    )


def _judgement(rules: Rules, compared: Compared) -> JudgementReply:
    found = judge(rules, compared)
    return JudgementReply(
        decision=found.decision,
        checks=[
            CheckReply(name=one.name, value=one.value, bound=one.bound, holds=one.holds)
            for one in found.figures
        ],
        sentence=found.sentence,
    )
