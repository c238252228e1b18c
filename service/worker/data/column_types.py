"""What a column may be read as, and what its texts look like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.common.errors import clip
from service.schema.contract import FeatureType
from service.worker.data.table import Column

INTEGER = r"^\s*[+-]?\d+\s*$"
CODE = r"^0\d+\s*$"
"""A number that would lose its spelling: 01, 007."""
PLAIN_INTEGER = r"^-?(0|[1-9]\d*)$"
LABEL_CODE = r"^[+-]?(0\d+|\d+\.?\d*[eE][+-]?\d+)$|^\+"
NOT_FINITE = r"(?i)^\s*[+-]?(inf|infinity)\s*$"
BOOLEAN = r"(?i)^\s*(true|false)\s*$"
EXACT = 2.0**53
"""Integers from here on may lose digits in float64."""

TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a column is to be read as."""

    type: FeatureType | None = None
    """None: as its values say."""
    missing: Sequence[str] | None = None
    """Texts that mean a missing value, besides the usual ones among numbers and booleans."""
    is_target: bool = False


Typed = tuple[Column, list[str]]
"""A column, and what was decided about it."""


def without(array: Any, missing: Sequence[str] | None) -> Any:
    """Return an array of strings with null for each that means a missing value."""
    if not missing:
        return array
    gone = pc.is_in(array, pa.array(missing, pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), array)


def text_of(value: float, type_: FeatureType) -> str:
    """Return a number or a boolean as the text that a column of texts has for it."""
    if type_ == "boolean":
        return "true" if value else "false"
    return str(int(value)) if abs(value) < EXACT and value == int(value) else clip(repr(value))
