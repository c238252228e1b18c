"""The metrics of skew for Prometheus. They are computed in a thread, not on the event loop."""

import threading
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.common.domain import spelling
from service.common.errors import clip
from service.common.metrics import MOST_SHOWN, OTHER
from service.skew.report import feature_divergence
from service.skew.tallies import Tallies
from service.skew.tally import Tally
from service.skew.windows import HOUR

MOST_FEATURES = 50
"""This many features get labels of their own; the others are shown together as `OTHER`."""

_LONGEST = 100
"""A label has at most this many characters."""

_Values = Mapping[tuple[str, str], int]


class SkewCollector(Collector):
    """Shows the PSI of the last hour, and counters. A counter never falls while its label is shown.

    The labels are the features and classes of the model in use. Requests to other versions count
    for the features and classes of the same names, or for `OTHER` if there are none.
    """

    def __init__(self, tallies: Tallies, in_use: Callable[[], Tally | None]) -> None:
        """`in_use` returns the counts of the model in use, if there are any."""
        self._tallies = tallies
        self._in_use = in_use
        self._lock = threading.Lock()
        self._shown: WeakKeyDictionary[Tally, NDArray[np.int64]] = WeakKeyDictionary()
        """The counts of each version that have been added to the counters."""
        self._values: Counts[tuple[str, str]] = Counts()
        self._predicted: Counts[str] = Counts()
        self._families: tuple[Metric, ...] = ()

    def collect(self) -> Iterator[Metric]:
        """Yield what the last `refresh` found; it is called on the event loop at each scrape."""
        yield from self._families

    def refresh(self) -> None:
        """Compute the metrics. Call it in a thread: with many features it takes milliseconds."""
        psi = GaugeMetricFamily(
            "service_feature_psi",
            "Population stability index of the last hour in this replica, beside training.",
            labels=("feature",),
        )
        limit = GaugeMetricFamily(
            "service_feature_psi_limit",
            "The index above which it is drift, at that many rows.",
            labels=("feature",),
        )
        values = CounterMetricFamily(
            "service_feature_values",
            "Values counted, by feature, and where they are beside those of the training.",
            labels=("feature", "outcome"),
        )
        predicted = CounterMetricFamily(
            "service_predicted", "Rows counted, by the class that was predicted.", labels=("class",)
        )
        tally = self._in_use()
        with self._lock:
            if tally is not None:
                self._add_all(tally)
                for feature, (index, bound) in _indexes(tally).items():
                    psi.add_metric([feature], index)
                    limit.add_metric([feature], bound)
            for labels, count in self._values.items():
                values.add_metric(labels, count)
            for label, count in self._predicted.items():
                predicted.add_metric([label], count)
        self._families = (psi, limit, values, predicted)

    def _add_all(self, in_use: Tally) -> None:
        """Add what was counted since the last `refresh`, by the labels of the model in use."""
        features = set(_features(in_use))
        classes = set(_classes(in_use))
        self._values = Counts(
            {key: n for key, n in self._values.items() if key[0] in features | {OTHER}}
        )
        self._predicted = Counts(
            {key: n for key, n in self._predicted.items() if key in classes | {OTHER}}
        )
        for tally in self._tallies.all():
            tally.drain()
            with tally.lock:
                total = tally.total.copy()
            before = self._shown.get(tally)
            self._shown[tally] = total
            new = total if before is None else total - before
            if tally is in_use or new.any():
                for (feature, outcome), count in _outcomes(tally, new).items():
                    self._values[feature if feature in features else OTHER, outcome] += count
                for label, count in zip(
                    _labels(tally), new[tally.layout.classes].tolist(), strict=True
                ):
                    self._predicted[label if label in classes else OTHER] += count


def _features(tally: Tally) -> list[str]:
    return [clip(one.name, _LONGEST) for one in tally.layout.features[:MOST_FEATURES]]


def _labels(tally: Tally) -> list[str]:
    return [clip(spelling(label), _LONGEST) for label in tally.schema.classes]


def _classes(tally: Tally) -> list[str]:
    return _labels(tally)[:MOST_SHOWN]


def _indexes(tally: Tally) -> dict[str, tuple[float, float]]:
    """Return PSI and limit of each feature that is shown. `OTHER` has those of its worst one."""
    window = tally.window(HOUR)
    found: dict[str, tuple[float, float]] = {}
    if not window.rows:
        return found
    counts = np.array(window.counts, np.int64)
    shown = set(_features(tally))
    for one in tally.layout.features:
        divergence = feature_divergence(one, counts)
        psi = divergence.psi
        if psi is None or divergence.verdict == "too few rows":
            continue
        name = clip(one.name, _LONGEST)
        name = name if name in shown else OTHER
        if name not in found or psi > found[name][0]:
            found[name] = psi, divergence.limit
    return found


def _outcomes(tally: Tally, counts: NDArray[np.int64]) -> _Values:
    """Return the numbers of values by feature and outcome. Each value has exactly one outcome."""
    found: Counts[tuple[str, str]] = Counts()
    for one in tally.layout.features:
        name = clip(one.name, _LONGEST)
        first, second = counts[one.outside : one.outside + 2].tolist()
        missing = int(counts[one.missing])
        outside = {"unseen": first} if one.is_text else {"below": first, "above": second}
        if one.is_boolean:
            outside = {}
        inside = int(counts[one.bins].sum()) - missing - sum(outside.values())
        for outcome, count in {"inside": inside, "missing": missing, **outside}.items():
            found[name, outcome] += count
    return found
