"""The metrics of the second version for Prometheus. They vanish when its traffic ends."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.common.domain import Use
from service.common.traffic import Compared
from service.rollout.traffic_counts import Count
from service.serving.current_model import CurrentModel
from service.traffic.rules import Judgement

OUTCOMES = ("agreed", "disagreed", "error", "in_use_error", "shed")
"""What became of a row that was to be compared. error: the second version could not answer it;
in_use_error: of a split, only the second one could; shed: there was no time."""
VERSIONS = ("in_use", "second")

_LABELS = ("model", "version")
"""Those of the second version."""


class TrafficCollector(Collector):
    """Shows what this replica counted since the second version is beside the one in use.

    A counter never falls under one entry of the log of use, and begins anew with the next.
    """

    def __init__(
        self,
        current_model: CurrentModel,
        newest: Callable[[], Use | None],
        count: Count,
        judgement: Callable[[int], Judgement | None],
    ) -> None:
        """`newest` returns the newest entry of the log that was read.

        `judgement` returns what the rules said last of all replicas in an epoch.
        """
        self._current_model = current_model
        self._newest = newest
        self._count = count
        self._judgement = judgement

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families, with no series where there is no second version."""
        in_use = self._current_model.in_use
        if in_use is None or in_use.traffic is None:
            yield from (*_state(), *_counts())
            return
        traffic, epoch = in_use.traffic, in_use.epoch
        labels = [traffic.name, str(traffic.version)]
        percent, start, rule = _state()
        percent.add_metric([*labels, traffic.mode], traffic.percent)
        use = self._newest()
        if use is not None and use.epoch == epoch:
            start.add_metric(labels, use.at)
        judgement = self._judgement(epoch)
        for figure in () if judgement is None else judgement.figures:
            verdict = 0 if figure.holds is None else 1 if figure.holds else -1
            rule.add_metric([*labels, figure.name], verdict)
        yield from (percent, start, rule)
        rows, answered, seconds = _counts()
        compared = self._count(epoch)
        if compared is not None:
            for outcome, number in zip(OUTCOMES, _outcomes(compared), strict=True):
                rows.add_metric([*labels, outcome], number)
            both = compared.in_use_rows, compared.second_rows
            spent = compared.in_use_seconds, compared.second_seconds
            for version, number, each in zip(VERSIONS, both, spent, strict=True):
                answered.add_metric([*labels, version], number)
                seconds.add_metric([*labels, version], count_value=compared.timed, sum_value=each)
        yield from (rows, answered, seconds)


def _outcomes(compared: Compared) -> tuple[int, ...]:
    agreed, errors = compared.agreed, compared.errors
    return agreed, compared.rows - agreed, errors, compared.in_use_errors, compared.shed


def _state() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily(
            "service_traffic_percent",
            "Of the rows (shadow) or requests (split), how many the second version is to answer.",
            labels=(*_LABELS, "mode"),
        ),
        GaugeMetricFamily(
            "service_traffic_start_time_seconds",
            "When the second version was put beside the one in use, in seconds since 1970.",
            labels=_LABELS,
        ),
        GaugeMetricFamily(
            "service_traffic_rule",
            "What a rule says of all replicas: 1 holds, 0 undecided, -1 does not hold.",
            labels=(*_LABELS, "rule"),
        ),
    )


def _counts() -> tuple[CounterMetricFamily, CounterMetricFamily, SummaryMetricFamily]:
    return (
        CounterMetricFamily(
            "service_traffic_rows",
            "Rows that were to be answered by both versions, by what became of them.",
            labels=(*_LABELS, "outcome"),
        ),
        CounterMetricFamily(
            "service_traffic_answered_rows",
            "Rows that clients were answered, by which of the two versions.",
            labels=(*_LABELS, "which"),
        ),
        SummaryMetricFamily(
            "service_traffic_row_seconds",
            "Processor time of one row, of those with which both versions were timed.",
            labels=(*_LABELS, "which"),
        ),
    )
