"""Counts of outcomes as the API shows them."""

from collections.abc import Iterable
from dataclasses import asdict

from service.api.outcome_schemas import (
    AppendedReply,
    CalibrationReply,
    CountedReply,
    OutcomesReply,
)
from service.common.domain import DataSet, Version
from service.common.outcomes import OutcomeCounts, total
from service.serving.outcomes import calibration_of, metrics_of


def appended_reply(data_set: DataSet) -> AppendedReply:
    """Return the reply about a data set that rows were added to."""
    return AppendedReply(name=data_set.name, sha256=data_set.sha256, rows=data_set.rows)


def counted_reply(
    version: Version, day: str, rows: int, counts: Iterable[OutcomeCounts]
) -> CountedReply:
    """Return the reply to a request that has been counted; `counts` are all those of its day."""
    return CountedReply(
        name=version.name,
        version=version.version,
        day=day,
        rows=rows,
        outcomes=outcomes_reply(version, day, counts),
    )


def outcomes_reply(version: Version, day: str, counts: Iterable[OutcomeCounts]) -> OutcomesReply:
    """Return the figures of the sum of counts; there must be at least one."""
    summed = total(counts)
    assert summed is not None
    metrics = metrics_of(summed)
    calibration = calibration_of(summed)
    return OutcomesReply(
        name=version.name,
        version=version.version,
        day=day,
        rows=summed.rows,
        classes=None if summed.labels is None else list(summed.labels),
        confusion=None if summed.confusion is None else [list(row) for row in summed.confusion],
        accuracy=metrics["accuracy"],
        balanced_accuracy=metrics["balanced_accuracy"],
        f1=metrics["f1"],
        log_loss=metrics.get("log_loss"),
        brier=metrics.get("brier"),
        calibration=None
        if calibration is None
        else [CalibrationReply(**asdict(one)) for one in calibration],
    )
