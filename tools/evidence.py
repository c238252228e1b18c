"""How often the test of two versions' outcomes is wrong, and how many rows it takes: simulated.

`python -m tools.evidence`; the figures of docs/traffic.md are its output.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.serving.quality import mcnemar
from service.traffic.evidence import ENOUGH, MARGIN, capital
from tests.support.simulated import Pair, conclusions
from tests.support.tables import number, table, write

_RUNS, _ROWS = 10_000, 2_000
_FEWER_RUNS, _MOST_ROWS = 500, 20_000

Ints = NDArray[np.int64]


def main() -> None:
    """Print both tables."""
    write(_wrong() + "\n\n" + _needed())


def _wrong() -> str:
    rows = []
    for share in (0.02, 0.1, 0.5):
        equal = Pair(share / 2, share / 2)
        lower = Pair((share - MARGIN) / 2, (share + MARGIN) / 2)
        found = (
            conclusions(capital, equal, _RUNS, _ROWS),
            conclusions(partial(capital, margin=MARGIN), lower, _RUNS, _ROWS),
            conclusions(_by_mcnemar, equal, _RUNS, _ROWS),
        )
        rows.append([f"{share:.0%}", *(f"{np.mean(one > 0):.1%}" for one in found)])
    note = f"{_RUNS:,} runs of {_ROWS:,} rows, looked at after every row; McNemar's with p < 0.05"
    columns = ("one right", "better or worse", "not worse", "better by McNemar's")
    return table("Wrong conclusions where none is right", note, columns, rows)


def _needed() -> str:
    rows = []
    for share in (0.0, 0.02, 0.05, 0.1, 0.2):
        cells = [f"{share:.0%}"]
        for difference, margin in ((0.0, MARGIN), (0.01, 0.0), (0.02, 0.0), (0.05, 0.0)):
            if difference > share:
                cells.append("-")
                continue
            pair = Pair((share + difference) / 2, (share - difference) / 2)
            found = conclusions(
                partial(capital, margin=margin), pair, _FEWER_RUNS, _MOST_ROWS, seed=1
            )
            middle = float(np.median(np.where(found > 0, found, np.inf)))
            cells.append(number(middle) if np.isfinite(middle) else f"over {_MOST_ROWS:,}")
        rows.append(cells)
    note = f"rows after which half of {_FEWER_RUNS} runs have concluded, looked at after every row"
    columns = ("one right", "not worse, if equal", "better by 1", "by 2", "by 5 points")
    return table("Rows until what is so is found", note, columns, rows)


def _by_mcnemar(gains: Ints, losses: Ints, rows: Ints) -> NDArray[np.float64]:
    """Return what counts as a conclusion where McNemar's exact test has p < 0.05."""
    shown = [
        won > lost and mcnemar(won, lost) < 0.05
        for won, lost in zip(gains.tolist(), losses.tolist(), strict=True)
    ]
    return np.where(shown, ENOUGH, 0.0) * (rows > 0)


if __name__ == "__main__":
    main()
