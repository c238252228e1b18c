"""The type of a column of texts, by all of its values or as its owner says."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.common.errors import clip, quoted
from service.schema.contract import FeatureType
from service.schema.file_options import MARKERS
from service.worker.data.number_texts import NUMBER, is_written, matches, to_doubles, written_as
from service.worker.data.table import Column, as_floats

INTEGER = r"^\s*[+-]?\d+\s*$"
CODE = r"^0\d+\s*$"
"""A number that would lose its spelling: 01, 007."""
_PLAIN_INTEGER = r"^-?(0|[1-9]\d*)$"
_LABEL_CODE = r"^[+-]?(0\d+|\d+\.?\d*[eE][+-]?\d+)$|^\+"
_NOT_FINITE = r"(?i)^\s*[+-]?(inf|infinity)\s*$"
_BOOLEAN = r"(?i)^\s*(true|false)\s*$"
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


def read_texts(array: Any, wanted: Wanted, comma_is_decimal: bool) -> Typed:
    """Read a column of texts; raises ValueError with what is wrong with it."""
    array = without(array, wanted.missing)
    if wanted.type is not None:
        return as_type(array, wanted.type, comma_is_decimal)
    try:
        values = as_floats(array.cast(pa.float64()))
    except pa.ArrowInvalid:
        return _mixed(array, wanted, comma_is_decimal)
    if np.count_nonzero(np.isnan(values)) > array.null_count:
        return _mixed(array, wanted, comma_is_decimal)
    return _numbers_or_codes(array, values, wanted)


def without(array: Any, missing: Sequence[str] | None) -> Any:
    """Return an array of strings with null for each that means a missing value."""
    if not missing:
        return array
    gone = pc.is_in(array, pa.array(missing, pa.string()))
    return pc.if_else(gone, pa.scalar(None, pa.string()), array)


def as_type(array: Any, type_: FeatureType, comma_is_decimal: bool) -> Typed:
    """Read a column of texts as what its owner says that it is."""
    if type_ == "text":
        return Column("text", _objects(array)), []
    array, notes = _without_markers(array, MARKERS, lambda _: True)
    if type_ == "boolean":
        return _booleans(array), notes
    distinct = pc.unique(array.drop_null())
    written = written_as(distinct, comma_is_decimal)
    if not written:
        odd = distinct.filter(pc.invert(matches(distinct, NUMBER)))
        first = odd[0].as_py() if len(odd) else distinct[0].as_py()
        row = pc.index(array, first).as_py() + 1
        raise ValueError(f'row {row:,} holds {quoted(first)}, and "types" says that it is a number')
    values = as_floats(to_doubles(array, written))
    check_numbers(array, values)
    if written != "plain":
        how = {
            "decimal comma": "a comma in it is the decimal point",
            "thousands": "a comma in it separates thousands",
            "percent": "the percent sign is left out: 5% is 5",
        }[written]
        notes.append(f"is read as numbers; {how}")
    return Column("number", values, written), notes


def _numbers_or_codes(array: Any, values: NDArray[np.float64], wanted: Wanted) -> Typed:
    if wanted.is_target:
        return _labels(array, values)
    # Most numbers that begin with 0 are fractions; a regular expression would look at each.
    zero = pc.and_not(pc.starts_with(array, "0"), pc.starts_with(array, "0."))
    codes = array.filter(zero, null_selection_behavior="drop")
    codes = codes.filter(matches(codes, CODE))
    if len(codes):
        return Column("text", _objects(array)), [
            f"holds {quoted(codes[0].as_py())}, which would lose its spelling as a number, and is "
            f'kept as text; "types" can say that it is a number'
        ]
    if (np.abs(values) >= EXACT).any():
        check_numbers(array, values)
    return Column("number", values), []


def _labels(array: Any, values: NDArray[np.float64]) -> Typed:
    """Read the numbers of a target: two labels of the file never become one."""
    check_numbers(array, values)
    if (values != np.round(values)).any():
        return Column("number", values), []  # and no labels
    coded = array.dictionary_encode()
    texts = coded.dictionary
    if pc.all(matches(texts, _PLAIN_INTEGER), min_count=0).as_py():
        return Column("number", values), []
    odd = texts.filter(matches(texts, _LABEL_CODE))
    if len(odd):
        return Column("text", _objects(array)), [
            f"holds the label {quoted(odd[0].as_py())}, which would lose its spelling as a number: "
            "the labels are texts"
        ]
    seen: dict[float, str] = {}
    for text in texts.to_pylist():
        other = seen.setdefault(float(text), text)
        if other != text:
            raise ValueError(
                f"spells one number in two ways, {quoted(other)} and {quoted(text)}: write them "
                'alike, or keep them apart as texts by "types"'
            )
    return Column("number", values), []


def _mixed(array: Any, wanted: Wanted, comma_is_decimal: bool) -> Typed:
    """Read a column that is not plain numbers, by its distinct values."""
    # Whoever has said what is missing may have a label like any marker.
    usual = () if wanted.is_target and wanted.missing is not None else MARKERS
    array, notes = _without_markers(array, usual, lambda rest: _is_plain(rest, comma_is_decimal))
    distinct = pc.unique(array.drop_null())
    if not len(distinct):
        return Column("number", np.full(len(array), np.nan)), notes
    if pc.all(matches(distinct, _BOOLEAN)).as_py():
        return _booleans(array), notes
    number = pc.or_(matches(distinct, NUMBER), matches(distinct, _NOT_FINITE))
    if pc.all(number).as_py() and pc.any(matches(distinct, NUMBER)).as_py():
        values = as_floats(pc.utf8_trim_whitespace(array).cast(pa.float64()))
        check_numbers(array, values)
        column, more = _numbers_or_codes(array, values, wanted)
        return column, notes + more
    if comma_is_decimal and is_written(distinct, "decimal comma"):
        values = as_floats(to_doubles(array, "decimal comma"))
        check_numbers(array, values)
        return Column("number", values, "decimal comma"), [*notes, "has decimal commas"]
    return Column("text", _objects(array)), notes


def _is_plain(distinct: Any, comma_is_decimal: bool) -> bool:
    """Return whether all of these texts are numbers, or all booleans."""
    if pc.all(matches(distinct, _BOOLEAN), min_count=0).as_py() or is_written(distinct, "plain"):
        return True
    return comma_is_decimal and is_written(distinct, "decimal comma")


def _without_markers(
    array: Any, markers: Sequence[str], only_if: Callable[[Any], bool]
) -> tuple[Any, list[str]]:
    """Replace blank texts and markers by null, if what is left is as it should be."""
    trimmed = pc.utf8_trim_whitespace(array)
    gone = pc.fill_null(pc.is_in(trimmed, pa.array(["", *markers], pa.string())), False)
    if not pc.any(gone, min_count=0).as_py():
        return array, []
    if not only_if(pc.unique(array.filter(pc.invert(gone)).drop_null())):
        return array, []
    told = trimmed.filter(pc.and_(gone, pc.not_equal(trimmed, "")))
    notes = []
    if len(told):
        others = " and other markers were" if len(pc.unique(told)) > 1 else " was"
        rows = "1 row" if len(told) == 1 else f"{len(told):,} rows"
        notes.append(f"{quoted(told[0].as_py())}{others} read as missing, in {rows}")
    return pc.if_else(gone, pa.scalar(None, pa.string()), array), notes


def _booleans(array: Any) -> Column:
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    known: Mapping[str, float] = {**TRUTH, "1": 1.0, "0": 0.0}
    codes = pc.index_in(lower, pa.array(list(known), pa.string()))
    wrong = pc.and_(pc.is_valid(array), pc.is_null(codes))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise ValueError(
            f'row {row + 1:,} holds {quoted(array[row].as_py())}, and "types" says that it is a '
            "boolean: true or false"
        )
    places = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    return Column("boolean", np.array([*known.values(), np.nan])[places])


def _objects(array: Any) -> NDArray[Any]:
    """Return texts as objects, equal ones as one object, None for missing."""
    coded = array.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    texts: NDArray[Any] = np.array([*coded.dictionary.to_pylist(), None], dtype=object)[codes]
    return texts


def check_numbers(array: Any, values: NDArray[np.float64]) -> None:
    """Refuse what is not a finite number, and integers that float64 cannot hold.

    `array` has the texts that the values were read from.
    """
    wrong = ~np.isfinite(values) & pc.is_valid(array).to_numpy(zero_copy_only=False)
    if wrong.any():
        row = int(np.argmax(wrong))
        text = array[row].as_py()
        if re.match(_NOT_FINITE, text):
            raise ValueError(
                f"row {row + 1:,} holds {quoted(text)} among numbers; leave a field empty where "
                "the value is missing"
            )
        raise ValueError(f"row {row + 1:,} holds {quoted(text)}, which is too large a number")
    for row in np.flatnonzero(np.abs(values) >= EXACT).tolist():
        text = array[row].as_py()
        # 300 digits and more were infinite; the rest is short enough for int().
        if re.match(INTEGER, text) and int(text) != int(values[row]):
            raise ValueError(
                f"row {row + 1:,} holds an integer beyond 2^53, which would lose digits; if the "
                'column is an identifier, leave it out by "exclude", or keep it as text by "types"'
            )


def text_of(value: float, type_: FeatureType) -> str:
    """Return a number or a boolean as the text that a column of texts has for it."""
    if type_ == "boolean":
        return "true" if value else "false"
    return str(int(value)) if abs(value) < EXACT and value == int(value) else clip(repr(value))
