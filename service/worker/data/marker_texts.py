"""The texts of a column that usually mean a missing value."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.common.errors import quoted

_NONE = pa.scalar(None, pa.string())


class MarkerTexts:
    """The blank texts, and texts that usually mean a missing value, that a column has."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts
        self.any = False
        self._told = 0
        self._distinct: dict[str, None] = {}

    def removed(self, array: Any) -> Any:
        """Return a part with null for each of them."""
        trimmed = pc.utf8_trim_whitespace(array)
        gone = _are(trimmed, self.texts)
        if not pc.any(gone, min_count=0).as_py():
            return array
        self.any = True
        told = trimmed.filter(pc.and_(gone, pc.not_equal(trimmed, "")))
        self._told += len(told)
        self._distinct |= dict.fromkeys(pc.unique(told).to_pylist())
        return pc.if_else(gone, _NONE, array)

    def notes(self) -> list[str]:
        """Say how many there were, apart from blank ones."""
        if not self._told:
            return []
        others = " and other markers were" if len(self._distinct) > 1 else " was"
        rows = "1 row" if self._told == 1 else f"{self._told:,} rows"
        first = next(iter(self._distinct))
        return [f"{quoted(first)}{others} read as missing, in {rows}"]


def without_markers(array: Any, texts: Sequence[str]) -> Any:
    """Return a part with null for each of these texts, whatever blanks are around it."""
    if not texts:
        return array
    return pc.if_else(_are(pc.utf8_trim_whitespace(array), texts), _NONE, array)


def _are(trimmed: Any, texts: Sequence[str]) -> Any:
    return pc.fill_null(pc.is_in(trimmed, pa.array(texts, pa.string())), False)
