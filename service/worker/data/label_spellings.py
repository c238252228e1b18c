"""The labels of a target that are numbers, as its file spells them."""

from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.common.errors import quoted
from service.worker.data.column_types import LABEL_CODE, PLAIN_INTEGER
from service.worker.data.number_texts import matches

_MOST = 100_000
"""Spellings that are told apart. A training takes a hundredth of that as classes."""


class LabelSpellings:
    """Looks at the spellings part by part: two labels of the file never become one."""

    def __init__(self) -> None:
        self._are_labels = True
        self._all_plain = True
        self._code = self._clash = ""
        self._seen: dict[float, str] = {}

    def look(self, texts: Any, values: NDArray[np.float64]) -> None:
        """Look at the next texts, and the numbers that they were read as."""
        # Numbers that are not whole are no labels, and neither is a missing value.
        self._are_labels = self._are_labels and not (values != np.round(values)).any()
        if not self._are_labels:
            self._seen.clear()
            return
        distinct = pc.unique(texts)
        self._all_plain &= pc.all(matches(distinct, PLAIN_INTEGER), min_count=0).as_py()
        if not self._code:
            odd = distinct.filter(matches(distinct, LABEL_CODE))
            self._code = odd[0].as_py() if len(odd) else ""
        if self._clash or len(self._seen) > _MOST:
            return
        for text in distinct.to_pylist():
            other = self._seen.setdefault(float(text), text)
            if other != text:
                self._clash = f"{quoted(other)} and {quoted(text)}"
                return

    def code(self) -> str:
        """Return a label that would lose its spelling as a number; empty if there is none.

        Raises ValueError where one number is spelled in two ways.
        """
        if not self._are_labels or self._all_plain:
            return ""
        if self._clash and not self._code:
            raise ValueError(
                f"spells one number in two ways, {self._clash}: write them alike, or keep them "
                'apart as texts by "types"'
            )
        return self._code
