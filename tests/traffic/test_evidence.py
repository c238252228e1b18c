"""The test of paired outcomes: exact, valid after every row, and able to find what is so."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial

from service.traffic.evidence import ENOUGH, LARGEST, MARGIN, capital, evidence, rounded
from tests.support.simulated import Capital, Pair, conclusions

RUNS, ROWS = 10_000, 2_000
DIGITS = 1e-3
"""What rounding down to four digits takes away at most, as a share."""


def straightforward(outcomes: list[int], margin: float) -> float:
    """Bet row by row, with each stake in turn."""
    ended = []
    for share in np.geomspace(0.01, 0.99, 16):
        stake, held = share / (1 - margin), 1.0
        for outcome in outcomes:
            held *= 1 + stake * (outcome + margin)
        ended.append(held)
    return sum(ended) / len(ended)


@given(st.lists(st.sampled_from([-1, 0, 0, 1]), max_size=60), st.sampled_from([0.0, MARGIN, 0.2]))
def test_the_capital_is_what_betting_row_by_row_leaves_in_any_order(
    outcomes: list[int], margin: float
) -> None:
    counted = capital(outcomes.count(1), outcomes.count(-1), len(outcomes), margin)

    for order in (outcomes, sorted(outcomes), sorted(outcomes, reverse=True)):
        assert float(counted) == pytest.approx(straightforward(order, margin), rel=1e-9)


def test_each_claim_has_its_own_capital() -> None:
    shown = evidence(only_in_use_right=30, only_second_right=4, rows=500)

    worse, better = [1] * 30 + [-1] * 4, [1] * 4 + [-1] * 30
    assert shown.worse == pytest.approx(straightforward(worse, 0.0), rel=DIGITS)
    assert shown.better == pytest.approx(straightforward(better, 0.0), rel=DIGITS)
    not_worse = straightforward([*better, *[0] * 466], MARGIN)
    assert shown.not_worse == pytest.approx(not_worse, rel=DIGITS)


def test_nothing_is_shown_by_no_rows_and_counts_of_any_size_give_numbers() -> None:
    nothing = evidence(0, 0, 0)
    much = evidence(0, 10**12, 10**13)

    assert (nothing.better, nothing.not_worse, nothing.worse) == (1, 1, 1)
    assert (much.better, much.not_worse, much.worse) == (LARGEST, LARGEST, 0)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 5000))
def test_evidence_has_four_digits_and_is_enough_only_if_the_capital_is(
    only_in_use: int, only_second: int, alike: int
) -> None:
    rows = only_in_use + only_second + alike

    told = evidence(only_in_use, only_second, rows).better

    exact = float(capital(only_second, only_in_use, rows))
    assert float(f"{told:.4g}") == told
    assert exact * (1 - DIGITS) <= told <= exact
    assert (told >= ENOUGH) == (exact >= ENOUGH)


def test_evidence_just_below_what_is_enough_is_not_told_as_enough() -> None:
    assert rounded(19.9999) == 19.99
    assert rounded(20.0) == 20.0


def test_ties_show_that_one_is_not_worse_and_nothing_else() -> None:
    shown = evidence(0, 0, 600)

    assert shown.not_worse >= ENOUGH
    assert shown.better == shown.worse == 1


# That a wrong claim is expected to win nothing

WRONG: list[tuple[str, float, Pair]] = [
    *(("better", 0.0, Pair(d / 2, d / 2)) for d in (0.02, 0.5)),
    *(("not worse", MARGIN, Pair((d - MARGIN) / 2, (d + MARGIN) / 2)) for d in (MARGIN, 0.1, 0.5)),
]
"""On the boundary, where a claim is as nearly right as a wrong one can be. That the second is
worse is the claim that the one in use is better, whose boundary is the same."""


def capital_of(margin: float) -> Capital:
    return lambda gains, losses, rows: capital(gains, losses, rows, margin)


@pytest.mark.parametrize(("claim", "margin", "pair"), WRONG)
def test_the_capital_of_a_wrong_claim_is_expected_to_stay_1(
    claim: str, margin: float, pair: Pair
) -> None:
    """Over all that can come of 25 rows, by scipy's probabilities."""
    rows = 25
    gains, losses = np.divmod(np.arange((rows + 1) ** 2), rows + 1)
    possible = gains + losses <= rows
    gains, losses = gains[possible], losses[possible]
    counts = np.column_stack([gains, losses, rows - gains - losses])
    chances = multinomial.pmf(counts, rows, [pair.gains, pair.losses, 1 - pair.gains - pair.losses])

    held = capital(gains, losses, np.full(len(gains), rows), margin)

    assert np.sum(chances * held) == pytest.approx(1.0, rel=1e-6), claim


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "margin", "pair"), WRONG)
def test_looking_after_every_row_concludes_wrongly_in_at_most_5_percent_of_runs(
    claim: str, margin: float, pair: Pair
) -> None:
    found = conclusions(capital_of(margin), pair, RUNS, ROWS)

    assert np.count_nonzero(found) / RUNS <= 0.05, claim


# That a right claim wins


@pytest.mark.parametrize(
    ("margin", "pair", "rows"),
    [
        (0.0, Pair(0.07, 0.03), 2_000),
        (0.0, Pair(0.02, 0.0), 1_000),
        (0.0, Pair(0.30, 0.24), 3_000),
        (MARGIN, Pair(0.0, 0.0), 600),
        (MARGIN, Pair(0.01, 0.01), 4_000),
        (MARGIN, Pair(0.04, 0.02), 2_000),
    ],
)
def test_what_is_so_is_found_in_most_runs(margin: float, pair: Pair, rows: int) -> None:
    random = np.random.default_rng(1)
    chances = [pair.gains, pair.losses, 1 - pair.gains - pair.losses]
    gains, losses, _ = random.multinomial(rows, chances, 2_000).T

    found = capital(gains, losses, np.full(2_000, rows), margin) >= ENOUGH

    assert found.mean() > 0.8


def test_its_conclusion_at_any_number_of_rows_is_one_of_mcnemars_test() -> None:
    """That test holds for one look; this one asks for more, since it holds for all of them."""
    for count in range(1, 200):
        gains = np.arange(count + 1)
        held = capital(gains, count - gains, np.full(count + 1, count))
        tails = binom.sf(gains - 1, count, 0.5)
        assert (tails <= 1 / held * (1 + 1e-9)).all(), "no capital is larger than 1 / p"
        shown = np.flatnonzero(held >= ENOUGH)
        if len(shown):
            assert binomtest(int(shown[0]), count, 0.5).pvalue < 0.05


def test_the_grid_of_stakes_is_within_the_bounds_that_keep_every_capital_positive() -> None:
    lost = partial(capital, 0, 1, 1)

    assert all(float(lost(margin)) > 0 for margin in (0.0, MARGIN, 0.5))
