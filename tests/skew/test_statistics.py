"""PSI, Jensen-Shannon and the verdict, against scipy and against simulations."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, norm

from service.skew.statistics import (
    LEAST_ROWS,
    QUANTILE_NORMAL,
    chi_square_quantile,
    diverge,
    psi_limit,
)


def test_psi_and_js_are_those_of_the_shares_with_half_a_row_more_in_each_bin() -> None:
    counted, expected = np.array([10, 200, 300, 0]), np.array([100, 100, 100, 1])

    found = diverge(counted, expected)

    p = (counted + 0.5) / (counted.sum() + 2)
    q = (expected + 0.5) / (expected.sum() + 2)
    assert found.psi == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=1e-12)
    assert found.js == pytest.approx(jensenshannon(p, q, base=2) ** 2, rel=1e-12)


def test_nothing_differs_from_itself() -> None:
    counts = np.array([500, 0, 20])

    found = diverge(counts, counts)

    assert (found.psi, found.js, found.verdict) == (0.0, 0.0, "ok")


def test_all_in_another_bin_is_nearly_a_whole_bit() -> None:
    found = diverge(np.array([10**6, 0]), np.array([0, 10**6]))

    assert found.js == pytest.approx(1.0, abs=0.001)
    assert found.js is not None
    assert found.js <= 1.0
    assert found.verdict == "drift"


def test_bins_that_are_empty_on_both_sides_change_nothing() -> None:
    with_bins = diverge(np.array([600, 0, 40, 0]), np.array([60, 0, 40, 0]))

    assert with_bins == diverge(np.array([600, 40]), np.array([60, 40]))


def test_few_rows_have_no_verdict_however_far_they_are() -> None:
    assert diverge(np.array([LEAST_ROWS - 1, 0]), np.array([0, 900])).verdict == "too few rows"
    assert diverge(np.array([LEAST_ROWS, 0]), np.array([0, 900])).verdict == "drift"


def test_without_any_row_nothing_is_said() -> None:
    found = diverge(np.zeros(3, int), np.array([5, 0, 5]))

    assert (found.psi, found.js, found.verdict) == (None, None, "too few rows")
    assert found.limit == 0.25


def test_from_the_first_row_on_both_figures_are_known() -> None:
    found = diverge(np.array([0, 1, 0]), np.array([5, 5, 5]))

    assert found.psi is not None
    assert found.js is not None
    assert (found.psi > 0, 0 < found.js < 1) == (True, True)


def test_the_quantile_is_that_of_scipy() -> None:
    assert pytest.approx(norm.ppf(0.999), rel=1e-12) == QUANTILE_NORMAL
    for freedom in range(1, 61):
        exact = chi2.ppf(0.999, freedom)
        assert chi_square_quantile(freedom) == pytest.approx(exact, rel=0.02)
    assert chi_square_quantile(1) == pytest.approx(chi2.ppf(0.999, 1), rel=1e-9)
    assert chi_square_quantile(2) == pytest.approx(chi2.ppf(0.999, 2), rel=1e-9)


@pytest.mark.parametrize(
    ("bins", "rows", "of_reference"),
    [(2, 500, 120), (10, 500, 120), (10, 500, 2000), (11, 2000, 150), (51, 1000, 400)],
)
def test_the_limit_is_the_quantile_of_psi_without_drift(
    bins: int, rows: int, of_reference: int
) -> None:
    random = np.random.default_rng(bins * rows)
    shares = np.full(bins, 1 / bins)
    counted = random.multinomial(rows, shares, 40_000) + 0.5
    expected = random.multinomial(of_reference, shares, 40_000) + 0.5
    p, q = counted / counted.sum(1, keepdims=True), expected / expected.sum(1, keepdims=True)

    simulated = np.quantile(((p - q) * np.log(p / q)).sum(1), 0.999)

    limit = (1 / rows + 1 / of_reference) * chi_square_quantile(bins - 1)
    assert limit == pytest.approx(simulated, rel=0.15)
    assert psi_limit(bins, rows, of_reference) == max(0.25, limit)


def test_rare_bins_raise_no_more_alarms() -> None:
    random = np.random.default_rng(7)
    shares = 1 / np.arange(1, 51) ** 2
    shares /= shares.sum()
    alarms = 0
    for _ in range(2000):
        found = diverge(random.multinomial(500, shares), random.multinomial(150, shares))
        alarms += found.verdict == "drift"

    assert alarms <= 6, "0.1 % of 2,000 are 2"
