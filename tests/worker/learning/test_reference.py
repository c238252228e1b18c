"""What a training keeps of its rows to compare with: counts in bins, and no row."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.schema.reference import FeatureReference, decode, encode
from service.worker.data.table import Column
from service.worker.learning.fitting import Fitted
from tests.support.fitting import mixed, numbers, small, texts, trained


def reference_of(fitted: Fitted, name: str) -> FeatureReference:
    (found,) = [one for one in fitted.reference.features if one.name == name]
    return found


def test_numbers_are_counted_between_the_deciles_of_the_fitted_rows() -> None:
    fitted = trained(mixed(1000), test_size=0.25)
    values = fitted.X[fitted.train, 0]

    found = reference_of(fitted, "x")

    deciles = np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf")
    assert found.edges == tuple(deciles)
    counts, _ = np.histogram(-values, [-np.inf, *-deciles[::-1], np.inf])
    assert found.counts == tuple(counts[::-1]), "a value on an edge is in the bin below"
    assert sum(found.counts) == fitted.reference.rows == len(fitted.train)
    held_out = fitted.X[fitted.test, 0]
    assert found.below == np.count_nonzero(held_out < values.min())
    assert found.above == np.count_nonzero(held_out > values.max())


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        (np.r_[np.zeros(50), np.ones(10)], (0.0, 1.0), (50, 10, 0)),
        (np.full(60, 7.0), (7.0,), (60, 0)),
        (np.repeat([-1e149, 1e149], 30), (-1e149, 1e149), (30, 30, 0)),
    ],
)
def test_equal_edges_are_one(
    values: NDArray[np.float64], edges: tuple[float, ...], counts: tuple[int, ...]
) -> None:
    table = small(60, z=numbers(values))

    fitted = trained(table, model_type="HistGradientBoostingClassifier", refit=True)

    found = reference_of(fitted, "z")
    assert (found.edges, found.counts) == (edges, counts)


def test_missing_values_of_every_type_are_counted_apart() -> None:
    table = mixed(220)
    fitted = trained(table)

    for name in ("gaps", "unsure", "word"):
        found = reference_of(fitted, name)
        missing = table.columns[name].missing[fitted.train]
        assert 0 < found.missing == np.count_nonzero(missing)
        assert sum(found.counts) == np.count_nonzero(~missing)


def test_booleans_are_counted_false_first() -> None:
    table = small(60, flag=Column("boolean", (np.arange(60) % 3 == 0).astype(float)))

    assert reference_of(trained(table, refit=True), "flag").counts == (40, 20)


def test_the_50_most_frequent_categories_have_a_bin_and_the_others_share_one() -> None:
    words = [f"w{i % 60:02}" for i in range(600)] + ["often"] * 200
    fitted = trained(small(800, word=texts(words)), refit=True)

    found = reference_of(fitted, "word")

    (feature,) = [one for one in fitted.schema.features if one.name == "word"]
    names = [feature.categories[code] for code in found.categories]
    assert names == ["often", *(f"w{i:02}" for i in range(49))]
    assert found.counts == (200, *[10] * 49, 110)


def test_the_answers_to_the_held_out_rows_are_counted_by_class_and_confidence() -> None:
    fitted = trained(mixed(400))
    answers = fitted.reference.answers
    held_out = np.isin(fitted.checked, fitted.test)

    assert answers.counts == tuple(np.bincount(fitted.predicted[held_out], minlength=2))
    assert fitted.held_out is not None
    expected, _ = np.histogram(fitted.held_out.max(axis=1), np.arange(11) / 10)
    assert answers.confidence == tuple(expected)


def test_a_classifier_without_probabilities_has_no_confidence() -> None:
    assert trained(mixed(), model_type="LinearSVC").reference.answers.confidence is None


def test_it_is_read_as_it_was_written_and_holds_no_row() -> None:
    fitted = trained(mixed(300))

    data = encode(fitted.reference)

    assert decode(data, fitted.schema) == fitted.reference
    assert len(data) < 3000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"name":"gaps"', b'"name":"pags"'),
        (b'"rows":', b'"rows":1'),
        (b'"edges":[', b'"edges":[1e300,'),
        (b'"categories":[0', b'"categories":[7'),
        (b'"confidence":[', b'"confidence":[-1,'),
        (b'"answers":{"counts":[', b'"answers":{"counts":[1,'),
        (b'"below":0', b'"below":-1'),
        (b'"missing":0', b'"missing":"0"'),
    ],
)
def test_a_reference_that_does_not_fit_its_version_is_refused(old: bytes, new: bytes) -> None:
    fitted = trained(mixed(300))
    data = encode(fitted.reference)
    assert old in data

    with pytest.raises(ValueError, match=r"reference|Expected"):
        decode(data.replace(old, new, 1), fitted.schema)
