"""How far two distributions over the same bins differ, and whether chance explains it.

PSI is the population stability index, the sum over the bins of (p - q) ln(p / q). JS is the
Jensen-Shannon divergence in bits, from 0 to 1.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]
Shares = NDArray[np.float64]

Verdict = Literal["ok", "drift", "too few rows"]

LEAST_ROWS = 500
"""With fewer rows in the bins, the verdict is that they are too few."""
LARGE_PSI = 0.25
"""By custom, a PSI above this is a large shift."""
QUANTILE_NORMAL = 3.090232306167813
"""The 99.9 % quantile of the normal distribution."""

_EXACT = {1: 10.827566170662733, 2: 13.815510557964274}

_PSEUDO_COUNT = 0.5
"""Added to every bin, so that no share is 0."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far the counted rows are from the expected ones."""

    psi: float | None
    """None without rows: nothing is known then, and the pseudo-counts alone would make a figure."""
    js: float | None
    """None without rows."""
    limit: float
    """The PSI above which it is drift."""
    verdict: Verdict


def diverge(counted: Counts, expected: Counts) -> Divergence:
    """Compare the rows in bins with those of the reference: [bins] each.

    Bins that are empty on both sides are left out.
    """
    some = (counted > 0) | (expected > 0)
    counted, expected = counted[some], expected[some]
    rows, of_reference = int(counted.sum()), int(expected.sum())
    limit = psi_limit(len(counted), rows, of_reference)
    if not rows:
        return Divergence(None, None, limit, "too few rows")
    p, q = _shares(counted), _shares(expected)
    psi = float(((p - q) * np.log(p / q)).sum())
    return Divergence(psi, _jensen_shannon(p, q), limit, _verdict(rows, psi, limit))


def psi_limit(bins: int, rows: int, of_reference: int) -> float:
    """Return the PSI above which `rows` rows drifted from a reference of `of_reference` rows.

    Without drift PSI is distributed like (1/rows + 1/of_reference) times chi-square with one
    degree of freedom less than there are bins (Yurdakul and Naranjo, "Statistical properties of
    the population stability index", 2020). The limit is its 99.9 % quantile, or 0.25 if that is
    larger.
    """
    if bins < 2 or not rows or not of_reference:
        return LARGE_PSI
    return max(LARGE_PSI, (1 / rows + 1 / of_reference) * chi_square_quantile(bins - 1))


def chi_square_quantile(freedom: int) -> float:
    """Return the 99.9 % quantile of chi-square with this many degrees of freedom.

    Exact for 1 and 2; else by Wilson and Hilferty's approximation (1931), within 2 %.
    """
    if freedom in _EXACT:
        return _EXACT[freedom]
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + QUANTILE_NORMAL * sqrt(spread)) ** 3)


def _verdict(rows: int, psi: float, limit: float) -> Verdict:
    if rows < LEAST_ROWS:
        return "too few rows"
    return "drift" if psi > limit else "ok"


def _shares(counts: Counts) -> Shares:
    shares: Shares = (counts + _PSEUDO_COUNT) / (counts.sum() + _PSEUDO_COUNT * len(counts))
    return shares


def _jensen_shannon(p: Shares, q: Shares) -> float:
    middle = (p + q) / 2
    bits = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2
    return float(max(0.0, bits))
