"""What Prometheus is shown of a second version: counts of this replica, and nothing afterwards."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.common.domain import Use
from service.common.traffic import Compared, Mode, Rules
from service.rollout.traffic_collector import OUTCOMES, TrafficCollector
from service.schema.contract import Schema
from service.serving.current_model import CurrentModel, LoadedVersion
from service.serving.predictor import Predictor
from service.traffic.comparer import Comparer
from service.traffic.comparison import MOST_PAIRS, comparison_of
from service.traffic.rules import Judgement, judge
from tests.support.compared import SCHEMA, Scripted, above, answer, traffic, version
from tests.support.exposed import Samples, samples_of
from tests.support.fakes import make_version
from tests.support.references import FakeClock

PAGE = Path(__file__).parents[2] / "docs" / "traffic.md"
RULES = Rules(rows=10, agreement=0.9, errors=0.1, latency_ratio=2.0, quality="better")


class Scene:
    """Two versions, and what is shown of them."""

    def __init__(self, in_use: Predictor, second: Predictor, mode: Mode = "shadow") -> None:
        self.in_use, self.second, self.mode = in_use, second, mode
        self.current_model = CurrentModel()
        self.comparer = Comparer(
            lambda: comparison_of(self.current_model), FakeClock(0.0), lambda _: False
        )
        self.newest: Use | None = None
        self.judged: dict[int, Judgement] = {}
        self.registry = CollectorRegistry()
        self.registry.register(
            TrafficCollector(
                self.current_model, lambda: self.newest, self.comparer.compared, self.judged.get
            )
        )
        self.begin(7)

    def begin(self, epoch: int, percent: int = 100) -> None:
        """Begin an entry of the log of use that has a second version."""
        beside = traffic(self.mode, percent)
        second = LoadedVersion(self.second, epoch, "")
        self.current_model.swap(LoadedVersion(self.in_use, epoch, "", beside, second))
        self.newest = Use.begin(epoch, make_version(), "a test", 1.8e9, traffic=beside)
        self.comparer.step()

    def end(self, epoch: int) -> None:
        """Begin an entry that has none."""
        self.current_model.swap(LoadedVersion(self.in_use, epoch, ""))

    def step(self) -> Compared:
        """Compare what was answered; return the counts."""
        for predictor in (self.in_use, self.second):
            if predictor.tally is not None:
                predictor.tally.drain()
        self.comparer.step()
        counts = self.comparer.compared(self.current_model.epoch)
        assert counts is not None
        return counts

    def text(self) -> str:
        """Return what a scrape gets."""
        return generate_latest(self.registry).decode()

    def shown(self) -> Samples:
        """Return what a scrape finds."""
        return samples_of(self.text())

    def rows(self) -> dict[str, float]:
        """Return the rows by what became of them."""
        return {
            dict(labels)["outcome"]: value
            for (name, labels), value in self.shown().items()
            if name == "service_traffic_rows_total"
        }


def value(scene: Scene, name: str, **labels: str) -> float | None:
    every = {"model": "m", "version": "2", **labels}
    return scene.shown().get((f"service_traffic_{name}", frozenset(every.items())))


def test_every_row_is_shown_by_what_became_of_it() -> None:
    def refuses(X: np.ndarray) -> np.ndarray:
        if (X > 90).any():
            raise ValueError("too large")
        return X[:, 0] > 7

    scene = Scene(version(), version(Scripted(refuses)))
    answer(scene.in_use, [1, 6, 9, 99, 9])

    counts = scene.step()

    assert scene.rows() == {
        "agreed": 3, "disagreed": 1, "error": 1, "in_use_error": 0, "shed": 0
    }  # fmt: skip
    assert sum(scene.rows().values()) == counts.in_use_rows
    assert value(scene, "answered_rows_total", which="in_use") == 5
    assert value(scene, "answered_rows_total", which="second") == 0


def test_rows_of_a_split_are_shown_by_the_version_that_answered_clients() -> None:
    def refuses(_: np.ndarray) -> np.ndarray:
        raise ValueError("nothing")

    in_use = version()
    scene = Scene(in_use, version(), "split")
    answer(in_use, [1, 6])
    in_use.classifier.answer = refuses  # type: ignore[attr-defined]
    answer(scene.second, [6, 6, 9])
    scene.step()

    assert value(scene, "answered_rows_total", which="in_use") == 2
    assert value(scene, "answered_rows_total", which="second") == 3
    assert scene.rows() == {
        "agreed": 2, "disagreed": 0, "error": 0, "in_use_error": 3, "shed": 0
    }  # fmt: skip


def test_rows_for_which_there_was_no_time_are_shown_as_shed() -> None:
    slow = Scripted(above(5), row=1.0)
    scene = Scene(version(), version(slow))
    answer(scene.in_use, np.arange(100.0))

    counts = scene.step()

    assert scene.rows()["shed"] == counts.shed > 0


def test_processor_time_is_shown_of_each_with_the_rows_that_were_timed() -> None:
    scene = Scene(version(Scripted(above(5), run=0.001)), version(Scripted(above(5), run=0.003)))
    answer(scene.in_use, [1, 2, 3])

    counts = scene.step()

    assert value(scene, "row_seconds_count", which="second") == counts.timed > 0
    assert value(scene, "row_seconds_count", which="in_use") == counts.timed
    assert value(scene, "row_seconds_sum", which="in_use") == pytest.approx(counts.timed * 0.001)
    assert value(scene, "row_seconds_sum", which="second") == pytest.approx(counts.timed * 0.003)


def test_its_share_its_mode_and_its_start_are_shown() -> None:
    scene = Scene(version(), version(), "split")
    scene.begin(8, percent=10)

    assert value(scene, "percent", mode="split") == 10
    assert value(scene, "start_time_seconds") == 1.8e9


def test_a_start_that_another_entry_has_is_not_shown() -> None:
    scene = Scene(version(), version())
    assert scene.newest is not None
    scene.newest = replace(scene.newest, epoch=8)

    assert value(scene, "start_time_seconds") is None
    assert value(scene, "percent", mode="shadow") == 100


def test_each_rule_is_shown_with_what_it_says_of_this_entry_of_the_log() -> None:
    scene = Scene(version(), version())
    assert value(scene, "rule", rule="rows") is None
    scene.judged[7] = judge(RULES, Compared(rows=20, agreed=20, errors=10))

    assert {
        one: value(scene, "rule", rule=one)
        for one in ("rows", "agreement", "errors", "latency_ratio", "quality", "worse")
    } == {
        "rows": 1, "agreement": 1, "errors": -1, "latency_ratio": 0, "quality": 0, "worse": 1
    }  # fmt: skip

    scene.begin(8)
    assert value(scene, "rule", rule="rows") is None


def test_nothing_is_left_once_its_traffic_has_ended() -> None:
    scene = Scene(version(), version())
    scene.judged[7] = judge(RULES, Compared(rows=20, agreed=20))
    answer(scene.in_use, [1, 2])
    scene.step()
    assert scene.shown()

    scene.end(8)

    assert scene.shown() == {}


def test_no_counter_falls_while_it_is_there_and_the_next_entry_begins_anew() -> None:
    scene = Scene(version(), version(Scripted(above(7))))
    before = scene.rows()
    for _ in range(5):
        answer(scene.in_use, [1, 6, 9])
        scene.step()
        after = scene.rows()
        assert all(after[outcome] >= before[outcome] for outcome in OUTCOMES)
        before = after
    assert before == {"agreed": 10, "disagreed": 5, "error": 0, "in_use_error": 0, "shed": 0}

    scene.begin(8)

    assert scene.rows() == dict.fromkeys(OUTCOMES, 0)


def test_a_replica_that_compares_nothing_shows_the_second_version_without_counts() -> None:
    in_use = version()
    in_use.tally = None
    scene = Scene(in_use, version())

    assert {name for name, _ in scene.shown()} == {
        "service_traffic_percent",
        "service_traffic_start_time_seconds",
    }


def test_there_are_few_series_however_many_classes_differ() -> None:
    classes = Schema(SCHEMA.features, tuple(f"class {k}" for k in range(2 * MOST_PAIRS)))
    same = Scripted(lambda X: X[:, 0])
    other = Scripted(lambda X: X[:, 0] + 1)
    scene = Scene(version(same, classes), version(other, classes))
    scene.judged[7] = judge(RULES, Compared(rows=20, agreed=20))
    answer(scene.in_use, np.arange(2.0 * MOST_PAIRS - 1))

    assert len(scene.step().disagreed) == MOST_PAIRS + 1
    assert len(scene.shown()) <= 20


def test_prometheus_reads_it_and_its_page_names_each_metric() -> None:
    scene = Scene(version(), version())
    families = {family.name: family.type for family in text_string_to_metric_families(scene.text())}

    assert families == {
        "service_traffic_percent": "gauge",
        "service_traffic_start_time_seconds": "gauge",
        "service_traffic_rule": "gauge",
        "service_traffic_rows": "counter",
        "service_traffic_answered_rows": "counter",
        "service_traffic_row_seconds": "summary",
    }
    named = set(re.findall(r"^\| `(service_\w+)", PAGE.read_text(), re.MULTILINE))
    suffix = {"counter": "_total"}
    shown = {name + suffix.get(kind, "") for name, kind in families.items()}
    assert named == shown | {"service_traffic_decisions_total"}
