"""The default space of each classifier: within the documented bounds, and it fits."""

import warnings
from typing import Any

import pytest

from service.worker.learning import classifiers
from service.worker.learning.default_spaces import default_space
from service.worker.learning.folds import Folds
from service.worker.learning.plan import plan
from service.worker.learning.spaces import Choices, Space
from tests.support.fitting import mixed, request


def corner(space: Space, *, high: bool) -> dict[str, Any]:
    """Return the candidate of all lower, or all upper, ends."""
    return {
        name: (one.values[-1 if high else 0])
        if isinstance(one, Choices)
        else (one.high if high else one.low)
        for name, one in space.items()
    }


@pytest.mark.parametrize("name", classifiers.NAMES)
def test_default_space_stays_within_the_bounds_that_are_documented(name: str) -> None:
    kind = classifiers.model_type(name)

    for rows, width in ((4, 1), (100, 10), (50_000, 500)):
        space = default_space(kind, rows, width)
        assert space
        for high in (False, True):
            params = corner(space, high=high)
            assert classifiers.validate(name, params) == []
        for key, dimension in space.items():
            if isinstance(dimension, Choices):
                assert all(kind.params[key].accepts(value) for value in dimension.values)


@pytest.mark.parametrize("name", classifiers.NAMES)
def test_default_space_fits_at_both_ends(name: str) -> None:
    planned = plan(mixed(120), request(model_type=name))
    folds = Folds(planned, 3)
    rows = len(planned.train) * 2 // 3
    space = default_space(planned.kind, rows, planned.width)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Some do not converge at an end.
        for high in (False, True):
            value = folds.score(0, name, corner(space, high=high), "balanced_accuracy")
            assert 0 <= value <= 1


@pytest.mark.parametrize("name", ["KNeighborsClassifier", "LabelPropagation", "LabelSpreading"])
def test_default_space_asks_for_no_more_neighbours_than_there_are_rows(name: str) -> None:
    kind = classifiers.model_type(name)

    assert [default_space(kind, rows, 3)["n_neighbors"].largest for rows in (1, 9)] == [1, 9]
