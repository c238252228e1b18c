"""Numbers written as text: with a decimal comma, with thousands separated, in percent."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.schema.contract import Written

NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_THOUSANDS = r"^\s*[+-]?\d{1,3}(,\d{3})+(\.\d+)?\s*$"
_DECIMAL_COMMA = r"^\s*[+-]?(\d{1,3}(\.\d{3})+|\d+)?,\d+([eE][+-]?\d+)?\s*$"
_PERCENT = r"^\s*[+-]?(\d+\.?\d*|\.\d+)\s*%\s*$"

_PATTERNS: Mapping[Written, tuple[str, ...]] = {
    "plain": (NUMBER,),
    "thousands": (_THOUSANDS, NUMBER),
    "decimal comma": (_DECIMAL_COMMA, NUMBER),
    "percent": (_PERCENT,),
}
_REMOVED: Mapping[Written, str] = {"thousands": ",", "percent": "%"}


def matches(texts: Any, pattern: str) -> Any:
    """Return a mask of the texts that match; null where a text is null."""
    return pc.match_substring_regex(texts, pattern)


def _written(texts: Any, written: Written) -> Any:
    found = matches(texts, _PATTERNS[written][0])
    for pattern in _PATTERNS[written][1:]:
        found = pc.or_(found, matches(texts, pattern))
    return found


def is_written(texts: Any, written: Written) -> bool:
    """Return whether all of an Arrow array of texts, apart from nulls, are such numbers."""
    return bool(pc.all(_written(texts, written), min_count=0).as_py())


def written_as(texts: Any, comma_is_decimal: bool) -> Written:
    """Return how the texts, all of them, are written; empty if they are no numbers.

    In a column where every comma may separate thousands, it does, unless `comma_is_decimal`.
    """
    order: tuple[Written, ...] = ("plain", "thousands", "decimal comma", "percent")
    for written in order:
        if written == "thousands" and comma_is_decimal:
            continue
        if is_written(texts, written):
            return written
    return ""


def to_doubles(texts: Any, written: Written) -> Any:
    """Return an Arrow array of doubles; raises ArrowInvalid for a text that is no number."""
    trimmed = pc.utf8_trim_whitespace(texts)
    if written == "decimal comma":
        # 1.234,5 separates thousands by points; 1.5 beside it does not.
        comma = pc.find_substring(trimmed, ",")
        without = pc.replace_substring(trimmed, ".", "")
        trimmed = pc.if_else(pc.greater_equal(comma, 0), without, trimmed)
        trimmed = pc.replace_substring(trimmed, ",", ".")
    if written in _REMOVED:
        trimmed = pc.replace_substring(trimmed, _REMOVED[written], "")
    return pc.utf8_trim_whitespace(trimmed).cast(pa.float64())


def doubles_of(texts: Any, written: Written) -> Any:
    """Return doubles for an Arrow array of texts, null for each that is not written so."""
    none = pa.scalar(None, pa.string())
    return to_doubles(pc.if_else(_written(texts, written), texts, none), written)
