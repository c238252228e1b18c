"""What outcomes show of two versions, by a test that holds however often one looks.

It is betting (Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting,
2024). Somebody who doubts a claim offers fair bets on each row, and one who believes it stakes a
share of a capital of 1. While the claim is wrong no row can be expected to enlarge the capital, so
that it ever reaches 20 has a probability of at most 1/20 (Ville's inequality), whenever one looks
and whenever one stops.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Context

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ENOUGH = 20.0
"""The capital from which a claim counts as shown: wrong claims reach it in at most 5 % of cases."""
MARGIN = 0.01
"""Not worse means: not less accurate by as much as this. That no difference is left can never be
shown; one row in a hundred is what a person would notice, and some thousand outcomes show it."""
LARGEST = 1e9
"""A capital is given as this where it is larger: that says no more, and remains a number."""

_SHARES = np.geomspace(0.01, 0.99, 16)
"""Stakes, as shares of the largest with which no row can take all. The capital is the mean over
them, each with an equal part of it, so that nobody has to know the best one.

It is about (difference + margin) / share of rows on which only one version is right: near 1 where
versions seldom disagree or one is far better, and near the margin where they disagree about most
rows. From one stake to the next is a factor of 1.36; one in the middle between two grows within 3 %
as fast as the best. More stakes would only make each part smaller."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The capital of each claim about the second version, as `rounded` makes it."""

    better: float
    """That it is more accurate than the one in use."""
    not_worse: float
    """That it is not less accurate by `MARGIN` or more."""
    worse: float
    """That it is less accurate than the one in use."""


def evidence(only_in_use_right: int, only_second_right: int, rows: int) -> Evidence:
    """Return what rows show that both versions answered: those that only one has right, and all."""
    gains, losses = only_second_right, only_in_use_right
    return Evidence(
        better=rounded(float(capital(gains, losses, rows))),
        not_worse=rounded(float(capital(gains, losses, rows, MARGIN))),
        worse=rounded(float(capital(losses, gains, rows))),
    )


def rounded(held: float) -> float:
    """Round a capital to four significant digits, and down: one below `ENOUGH` stays below it."""
    return float(Context(prec=4, rounding=ROUND_DOWN).create_decimal_from_float(held))


def capital(gains: ArrayLike, losses: ArrayLike, rows: ArrayLike, margin: float = 0.0) -> Floats:
    """Return the capital for the claim that gains are more frequent than losses minus a margin.

    A row counts as 1, -1 or 0 for a gain, a loss or neither, and as that plus the margin in a bet.
    The order of the rows does not matter. Numbers or arrays of them, all of one shape.
    """
    won, lost = np.asarray(gains, np.float64), np.asarray(losses, np.float64)
    drawn = np.asarray(rows, np.float64) - won - lost
    stakes = _SHARES / (1.0 - margin)
    logs = (
        won[..., None] * np.log1p(stakes * (1.0 + margin))
        + lost[..., None] * np.log1p(-stakes * (1.0 - margin))
        + drawn[..., None] * np.log1p(stakes * margin)
    )
    highest = logs.max(axis=-1)
    mean = np.log(np.exp(logs - highest[..., None]).mean(axis=-1)) + highest
    most = np.log(LARGEST)  # whose exponential is a little less than `LARGEST`
    result: Floats = np.where(mean >= most, LARGEST, np.exp(np.minimum(mean, most)))
    return result
