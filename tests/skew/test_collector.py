"""What Prometheus scrapes: at most 50 features and classes, and counters that never fall."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from service.schema.contract import Feature, Schema
from service.skew.collector import SkewCollector
from service.skew.tallies import Tallies
from service.skew.tally import Tally
from tests.support.fakes import make_version
from tests.support.references import FAR_MORE, MIXED, FakeClock, mixed_rows, reference_of


def tally_in(tallies: Tallies, run: str, features: tuple[Feature, ...] = MIXED,
             rows: NDArray[np.float64] | None = None, classes: int = 2) -> Tally:  # fmt: skip
    X = mixed_rows(2000) if rows is None else rows
    schema, reference = reference_of(features, X, np.full(classes, 50))
    tally = tallies.open(make_version(run_id=run), schema, reference)
    assert tally is not None
    return tally


def samples(collector: SkewCollector, name: str) -> dict[tuple[str, ...], float]:
    collector.refresh()
    return {
        tuple(sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
        if sample.name == name
    }


def ask(tally: Tally, rows: NDArray[np.float64], label: int = 0) -> None:
    tally.add_matrix(rows, np.full(len(rows), label), None)


@pytest.fixture
def tallies() -> Tallies:
    return Tallies(FAR_MORE, FakeClock())


def test_every_value_is_counted_where_it_is(tallies: Tallies) -> None:
    tally = tally_in(tallies, "a")
    rows = np.repeat(mixed_rows(2000)[:1], 6, axis=0)
    rows[:, 0] = [-1e9, -1e9, 1e9, 1.0, 1.0, 1.0]
    rows[:, 2] = [np.nan, 0, 0, 0, 0, 0]
    rows[:, 3] = [0, 1, 0, 1, 0, 1]
    rows[:, 4] = [-1.0, 0, 1, 2, np.nan, np.nan]
    ask(tally, rows, label=1)

    collector = SkewCollector(tallies, lambda: tally)

    found = samples(collector, "service_feature_values_total")
    of = {name: {outcome: n for (one, outcome), n in found.items() if one == name}
          for name in ("amount", "gaps", "flag", "city")}  # fmt: skip
    assert of["amount"] == {"inside": 3, "below": 2, "above": 1, "missing": 0}
    assert of["gaps"] == {"inside": 5, "below": 0, "above": 0, "missing": 1}
    assert of["flag"] == {"inside": 6, "missing": 0}
    assert of["city"] == {"inside": 3, "unseen": 1, "missing": 2}
    predicted = samples(collector, "service_predicted_total")
    assert predicted == {("class 0",): 0, ("class 1",): 6}


def test_psi_is_shown_from_500_rows_on_with_the_limit(tallies: Tallies) -> None:
    tally = tally_in(tallies, "a")
    collector = SkewCollector(tallies, lambda: tally)
    rows = mixed_rows(500, seed=5)
    rows[:, 1] += 5
    ask(tally, rows[:499])
    assert samples(collector, "service_feature_psi") == {}

    ask(tally, rows[499:])

    psi = samples(collector, "service_feature_psi")
    limit = samples(collector, "service_feature_psi_limit")
    assert set(psi) == set(limit) == {(one.name,) for one in MIXED}
    assert [name for name in psi if psi[name] > limit[name]] == [("count",)]


def test_what_is_beyond_the_bound_is_in_other(tallies: Tallies) -> None:
    features = tuple(Feature(f"f{i:03}", "number") for i in range(80))
    rows = np.random.default_rng(0).normal(size=(1000, 80))
    tally = tally_in(tallies, "a", features, rows, classes=60)
    asked = rows.copy()
    asked[:, 70] += 3
    tally.add_matrix(asked, np.arange(1000) % 60, None)

    collector = SkewCollector(tallies, lambda: tally)

    psi = samples(collector, "service_feature_psi")
    assert len(psi) == 51
    assert psi["other",] > 1 > max(value for name, value in psi.items() if name != ("other",))
    values = samples(collector, "service_feature_values_total")
    assert len({name for name, _ in values}) == 51
    assert sum(values.values()) == 80 * 1000
    predicted = samples(collector, "service_predicted_total")
    assert len(predicted) == 51
    assert sum(predicted.values()) == 1000


def test_counters_do_not_fall_when_the_model_in_use_changes_and_back(tallies: Tallies) -> None:
    first, second = tally_in(tallies, "a"), tally_in(tallies, "b")
    current = [first]
    collector = SkewCollector(tallies, lambda: current[0])
    totals = []
    for tally in (first, second, first):
        current[0] = tally
        ask(tally, mixed_rows(10))
        totals.append(samples(collector, "service_predicted_total")["class 0",])

    assert totals == [10, 20, 30]


def test_labels_of_a_model_that_is_out_of_use_are_not_shown(tallies: Tallies) -> None:
    first = tally_in(tallies, "a")
    others = tally_in(tallies, "b", (Feature("new", "number"),), np.arange(100.0)[:, None])
    current = [first]
    collector = SkewCollector(tallies, lambda: current[0])
    ask(first, mixed_rows(10))
    samples(collector, "service_feature_values_total")
    current[0] = others

    ask(first, mixed_rows(4))

    values = samples(collector, "service_feature_values_total")
    assert {name for name, _ in values} == {"new", "other"}
    assert sum(n for (name, _), n in values.items() if name == "other") == 5 * 4


def test_without_a_model_or_a_reference_there_is_something_to_scrape(tallies: Tallies) -> None:
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    assert samples(SkewCollector(tallies, nothing), "service_feature_psi") == {}
    tally = tallies.open(make_version(run_id="c"), Schema(MIXED, ("a", "b")), None)
    assert tally is not None
    ask(tally, mixed_rows(3), label=1)
    registry = CollectorRegistry()
    collector = SkewCollector(tallies, lambda: tally)
    registry.register(collector)
    collector.refresh()

    text = generate_latest(registry).decode()

    assert 'service_predicted_total{class="b"} 3.0' in text
    assert "service_feature_values_total{" not in text
