"""Rows in bins: each row once in the bins of each feature, as a slow count finds them."""

import numpy as np
from numpy.typing import NDArray

from service.schema.contract import Feature, Schema
from service.skew.layout import MOST_BINS, Layout
from tests.support.references import MIXED, mixed_rows, reference_of

ANSWERED = np.array([30, 10])


def layout_of(rows: NDArray[np.float64]) -> Layout:
    return Layout(*reference_of(MIXED, rows, ANSWERED))


def labels(count: int) -> NDArray[np.int64]:
    return np.arange(count, dtype=np.int64) % 2


def test_the_fitted_rows_are_counted_as_the_training_counted_them() -> None:
    rows = mixed_rows(1000)
    layout = layout_of(rows)

    counts = layout.count(rows, labels(1000), None)

    for one in layout.features:
        assert counts[one.bins].tolist() == one.expected.tolist(), one.name
        outside = counts[one.outside : one.outside + 2].tolist()
        assert outside == [0, 0], one.name
    assert counts[layout.classes].tolist() == [500, 500]
    assert counts[layout.confidence].sum() == 0


def test_numbers_outside_of_the_seen_range_are_counted_and_are_in_the_outer_bins() -> None:
    rows = mixed_rows(1000)
    layout = layout_of(rows)
    asked = np.repeat(rows[:1], 4, axis=0)
    asked[:3, 0] = rows[:, 0].min() - 1
    asked[3, 0] = rows[:, 0].max() + 1

    counts = layout.count(asked, labels(4), None)

    amount = layout.features[0]
    assert counts[amount.outside : amount.outside + 2].tolist() == [3, 1]
    assert counts[amount.bins].tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_a_value_on_an_edge_is_in_the_bin_below() -> None:
    rows = mixed_rows(1000)
    schema, reference = reference_of(MIXED, rows, ANSWERED)
    edges = reference.features[0].edges
    asked = np.repeat(rows[:1], len(edges), axis=0)
    asked[:, 0] = edges
    layout = Layout(schema, reference)

    counts = layout.count(asked, labels(len(edges)), None)

    assert counts[layout.features[0].bins].tolist() == [1] * 9 + [0, 0]


def test_unknown_missing_and_rare_categories_are_told_apart() -> None:
    layout = layout_of(mixed_rows(1000))
    asked = np.repeat(mixed_rows(1), 5, axis=0)
    asked[:, 4] = [-1.0, -1.0, np.nan, 0.0, 1.0]

    counts = layout.count(asked, labels(5), None)

    city = layout.features[4]
    assert counts[city.bins].tolist() == [1, 1, 0, 2, 1]
    assert counts[city.outside] == 2


def test_the_largest_probability_is_counted_in_tenths() -> None:
    layout = layout_of(mixed_rows(1000))

    counts = layout.count(mixed_rows(4), labels(4), np.array([0.5, 0.55, 0.999, 1.0]))

    assert counts[layout.confidence].tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]


def test_without_a_reference_classes_alone_are_counted() -> None:
    schema = Schema(MIXED, ("a", "b", "c"))
    layout = Layout(schema, None)

    counts = layout.count(mixed_rows(4), np.array([0, 2, 2, 2]), None)

    assert layout.features == []
    assert counts[layout.classes].tolist() == [1, 0, 3]


def test_the_most_important_features_have_bins_where_not_all_have_room() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 700))
    features = tuple(
        Feature(f"f{i}", "number", importance=i / 700 if i % 7 else None) for i in range(700)
    )
    schema, reference = reference_of(features, rows, ANSWERED)
    schema = Schema(
        tuple(
            Feature(one.name, one.type, seen=one.seen, importance=features[i].importance)
            for i, one in enumerate(schema.features)
        ),
        schema.classes,
    )

    layout = Layout(schema, reference)

    assert layout.size <= MOST_BINS + 12
    assert layout.uncounted == 700 - len(layout.features) > 0
    left_out = {f"f{i}" for i in range(700)} - {one.name for one in layout.features}
    assert all(int(name[1:]) % 7 == 0 for name in left_out)
    counts = layout.count(rows, labels(50), None)
    assert all(counts[one.bins].sum() == 50 for one in layout.features)
