"""Outcomes of two versions, drawn row by row, and what looking after every row would conclude."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.traffic.evidence import ENOUGH

Ints = NDArray[np.int64]
Capital = Callable[[Ints, Ints, Ints], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two versions: the share of rows that only the second one, and only the other, has right."""

    gains: float
    losses: float


def conclusions(capital: Capital, pair: Pair, runs: int, rows: int, seed: int = 0) -> Ints:
    """Return after how many rows each run concludes, looked at after every row; 0: never.

    `capital` gets gains, losses and rows, [N] each.
    """
    random = np.random.default_rng(seed)
    gains, losses = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    concluded = np.zeros(runs, np.int64)
    for row in range(1, rows + 1):
        drawn = random.random(runs)
        gains += drawn < pair.gains
        losses += drawn > 1 - pair.losses
        # Most runs are at the same few counts.
        codes, places = np.unique(gains * (rows + 1) + losses, return_inverse=True)
        won, lost = np.divmod(codes, rows + 1)
        shown = capital(won, lost, np.full(len(codes), row)) >= ENOUGH
        concluded[shown[places] & (concluded == 0)] = row
    return concluded
