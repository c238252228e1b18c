"""What Prometheus scrapes. Labels come from the service, never from a client's text."""

import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from service.common.domain import spelling
from service.common.outcomes import OutcomeCounts

LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip

MOST_SHOWN = 50
"""Classes that are labels of their own; those of a version's schema, never a client's text."""
OTHER = "other"

_MAX_VERSIONS = 25
"""Versions whose latencies are shown; those that answer now are never forgotten."""

_Version = tuple[str, str]

OUTCOMES = ("ok", "invalid", "refused", "error")
"""ok: answered; invalid: the client's fault; refused: overload; error: ours."""


class Latencies:
    """Durations of predictions with one outcome, counted in buckets.

    Written on the event loop's thread only, so it needs no lock; that and `bisect` make an
    observation take 0.3 us, where prometheus_client's own histogram takes 3.
    """

    __slots__ = ("counts", "rows", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self.rows = 0
        self.total = 0.0

    def observe(self, seconds: float, rows: int = 0) -> None:
        """Count one request that took `seconds` and got predictions for this many rows."""
        self.counts[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.total += seconds
        self.rows += rows

    def add(self, other: "Latencies") -> None:
        """Add the counts of others."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.rows += other.rows


class PredictLatency:
    """Collects `service_predict_seconds` by model, version and outcome, and the rows answered."""

    def __init__(self) -> None:
        self._versions: dict[_Version, Mapping[str, Latencies]] = {}
        self._open: Counts[_Version] = Counts()
        self._forgotten = {outcome: Latencies() for outcome in OUTCOMES}
        """The sum of the versions that are not shown any more, so that `totals` never fall."""
        self._lock = threading.Lock()
        """Held while a version is forgotten: a sum at that moment would have it twice, or not."""

    def open(self, model: str, version: int) -> Mapping[str, Latencies]:
        """Return a version's counts by outcome; they are collected at least until `close`."""
        key = (model, str(version))
        with self._lock:
            latencies = self._versions.pop(key, None)
            if latencies is None:
                latencies = {outcome: Latencies() for outcome in OUTCOMES}
            self._versions[key] = latencies
            self._open[key] += 1
            while len(self._versions) > _MAX_VERSIONS:
                oldest = next((key for key in self._versions if not self._open[key]), None)
                if oldest is None:
                    break
                for outcome, forgotten in self._versions.pop(oldest).items():
                    self._forgotten[outcome].add(forgotten)
        return latencies

    def totals(self) -> Mapping[str, Latencies]:
        """Return the counts of all versions since the start, by outcome; from any thread."""
        totals = {outcome: Latencies() for outcome in OUTCOMES}
        with self._lock:
            for outcomes in (self._forgotten, *self._versions.values()):
                for outcome, latencies in outcomes.items():
                    totals[outcome].add(latencies)
        return totals

    def close(self, model: str, version: int) -> None:
        """Record that a version answers no longer: its counts may make room for others."""
        self._open[model, str(version)] -= 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; prometheus_client calls this at each scrape."""
        family = HistogramMetricFamily(
            "service_predict_seconds",
            "Time from the head of a request for predictions to its reply, in seconds.",
            labels=("model", "version", "outcome"),
        )
        rows = CounterMetricFamily(
            "service_instances", "Rows answered with a prediction.", labels=("model", "version")
        )
        for labels, outcomes in list(self._versions.items()):
            for outcome, latencies in outcomes.items():
                counts = list(latencies.counts)
                if not any(counts):
                    continue
                buckets = _cumulative(counts)
                family.add_metric([*labels, outcome], buckets=buckets, sum_value=latencies.total)
                if outcome == "ok":
                    rows.add_metric(labels, latencies.rows)
        yield family
        yield rows


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, LATENCY_BUCKETS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


class Metrics:
    """Every metric of the process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.predict = PredictLatency()
        self.registry.register(self.predict)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self.requests = counter(
            "service_requests_total", "Requests by route and status.", ("route", "method", "status")
        )
        self.invalid = counter(
            "service_invalid_inputs_total",
            "Requests refused with a 4xx, by the problem's type.",
            ("reason",),
        )
        self.trainings = counter(
            "service_trainings_total", "Trainings ended, by state.", ("state",)
        )
        self.training_seconds = counter(
            "service_training_seconds_total",
            "Seconds spent in trainings that ended, by state.",
            ("state",),
        )
        self.trainings_running = gauge("service_trainings_running", "Trainings running now.")
        self.trainings_queued = gauge("service_trainings_queued", "Trainings waiting now.")
        self.epoch = gauge("service_epoch", "Epoch of the model in use; 0 before the first.")
        self.in_use = gauge(
            "service_model_in_use", "1 for the version in use.", ("model", "version")
        )
        self.deleted = gauge(
            "service_model_in_use_deleted",
            "1 while the version in use, or the one beside it, is deleted in MLflow.",
        )
        self.follow_failed = gauge(
            "service_alias_follow_failed",
            "1 while the alias that is followed names no version, or one that is not put in use.",
        )
        self.changes = counter(
            "service_model_changes_total", "Changes of the model in use, by outcome.", ("outcome",)
        )
        self.traffic_decisions = counter(
            "service_traffic_decisions_total",
            "Second versions that the rules put in use, or ended.",
            ("decision",),
        )
        self.polls = counter(
            "service_mlflow_polls_total", "Polls of MLflow, by outcome.", ("outcome",)
        )
        self.classifiers_lost = counter(
            "service_classifiers_lost_total",
            "Processes of native classifiers that ended while they were needed.",
        )
        self.in_flight = gauge(
            "service_predictions_in_flight", "Predictions under way in threads now."
        )
        self._outcomes = counter(
            "service_outcomes_total",
            "Rows whose truth was told, by predicted and true class.",
            ("predicted", "label"),
        )
        self._outcome_classes = FewLabels(MOST_SHOWN)
        # Known from the start: the first event of a counter that was not there is no increase.
        for state in ("succeeded", "failed", "cancelled"):
            self.trainings.labels(state)
            self.training_seconds.labels(state)
        for outcome in ("changed", "refused", "failed"):
            self.changes.labels(outcome)
        for decision in ("promote", "end"):
            self.traffic_decisions.labels(decision)
        for outcome in ("ok", "unavailable", "unservable", "error"):
            self.polls.labels(outcome)
        self.invalid.labels("queue-full")

    def count_outcomes(self, counts: OutcomeCounts) -> None:
        """Count rows by predicted and true class; those of too many classes are all `other`."""
        if counts.confusion is None or counts.labels is None:
            self._outcomes.labels(OTHER, OTHER).inc(counts.rows)
            return
        shown = [self._outcome_classes.of(spelling(label)) for label in counts.labels]
        for label, row in zip(shown, counts.confusion, strict=True):
            for predicted, rows in zip(shown, row, strict=True):
                if rows:
                    self._outcomes.labels(predicted, label).inc(rows)


class FewLabels:
    """Gives the first `most` values of a metric's label their own name, and `other` to the rest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def of(self, value: str) -> str:
        """Return the label of a value."""
        with self._lock:
            if value not in self._known and len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


def value_of(gauge: Gauge) -> float:
    """Return what a gauge without labels shows now."""
    (family,) = gauge.collect()
    return family.samples[0].value
