"""What is wrong with the numbers that texts were read as."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.errors import quoted
from service.worker.data.column_types import EXACT, INTEGER, NOT_FINITE


@dataclass(slots=True)
class NumberChecks:
    """What is wrong with the numbers of a column; the sentences, empty where nothing is."""

    not_finite: str = ""
    inexact: str = ""

    def look(self, array: Any, values: NDArray[np.float64], start: int) -> None:
        """Find numbers that are not finite, and integers that float64 cannot hold.

        `array` has the texts that the values were read from, the first of which is row `start`.
        """
        if self.not_finite:
            return
        for row in np.flatnonzero(np.isinf(values))[:1].tolist():
            text = array[row].as_py()
            self.not_finite = (
                f"row {start + row + 1:,} holds {quoted(text)}, which is too large a number"
            )
            if re.match(NOT_FINITE, text):
                self.not_finite = (
                    f"row {start + row + 1:,} holds {quoted(text)} among numbers; leave a field "
                    "empty where the value is missing"
                )
            return
        for row in np.flatnonzero(np.abs(values) >= EXACT).tolist() if not self.inexact else ():
            text = array[row].as_py()
            # 300 digits and more are infinite; the rest is short enough for int().
            if re.match(INTEGER, text) and int(text) != int(values[row]):
                self.inexact = (
                    f"row {start + row + 1:,} holds an integer beyond 2^53, which would lose "
                    'digits; if the column is an identifier, leave it out by "exclude", or keep it '
                    'as text by "types"'
                )
                return

    def refuse(self) -> None:
        """Raise ValueError with the first thing that is wrong."""
        if self.not_finite or self.inexact:
            raise ValueError(self.not_finite or self.inexact)
