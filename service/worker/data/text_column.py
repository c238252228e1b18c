"""A column of texts, which may come in parts: what all of its values together say of its type."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.common.errors import quoted
from service.schema.contract import FeatureType, Written
from service.schema.file_options import MARKERS
from service.worker.data.column_types import (
    BOOLEAN,
    CODE,
    NOT_FINITE,
    TRUTH,
    Typed,
    Wanted,
    without,
)
from service.worker.data.label_spellings import LabelSpellings
from service.worker.data.marker_texts import MarkerTexts, without_markers
from service.worker.data.number_checks import NumberChecks
from service.worker.data.number_texts import NUMBER, is_written, matches, to_doubles
from service.worker.data.table import Column, as_floats, as_objects

_FORMS: tuple[Written, ...] = ("plain", "thousands", "decimal comma", "percent")
"""How numbers may be written, in the order in which that is tried."""
_SPELLED = {
    "decimal comma": "a comma in it is the decimal point",
    "thousands": "a comma in it separates thousands",
    "percent": "the percent sign is left out: 5% is 5",
}
_FLAGS = {**TRUTH, "1": 1.0, "0": 0.0}


@dataclass(frozen=True, slots=True)
class Decided:
    """What a column of texts is, and how its parts are converted."""

    type: FeatureType
    written: Written = ""
    notes: list[str] = field(default_factory=list)
    missing: Sequence[str] | None = None
    """Texts that its owner said mean a missing value."""
    gone: Sequence[str] = ()
    """Texts that mean one besides, whatever blanks are around them."""
    converted: tuple[Any, Any] | None = None
    """A part that was converted to doubles before, and the doubles."""

    def arrow(self, array: Any) -> Any:
        """Convert a part of the column to an Arrow array of double, bool or string."""
        if self.converted is not None and array is self.converted[0]:
            return self.converted[1]
        array = without_markers(without(array, self.missing), self.gone)
        if self.type == "text":
            return array
        if self.type == "boolean":
            return pc.equal(_flags(array), 1.0)
        try:
            return array.cast(pa.float64())
        except pa.ArrowInvalid:
            return to_doubles(array, self.written or "plain")

    def column(self, array: Any) -> Column:
        """Convert the whole column."""
        values = self.arrow(array)
        if self.type == "text":
            return Column("text", as_objects(values))
        if self.type == "boolean":
            values = values.cast(pa.uint8()).cast(pa.float64())
        return Column(self.type, as_floats(values), self.written)


def read_texts(array: Any, wanted: Wanted, comma_is_decimal: bool) -> Typed:
    """Read a column of texts as a whole; raises ValueError with what is wrong with it."""
    texts = TextColumn(wanted, comma_is_decimal)
    texts.look(array)
    decided = texts.decide()
    return decided.column(array), decided.notes


class TextColumn:
    """Looks at a column of texts part by part, and then decides what it is.

    It holds no more than a few texts and flags, and of a target up to 100,000 spellings. A part
    that is all plain numbers, the usual case, is looked at without any regular expression.
    """

    def __init__(self, wanted: Wanted, comma_is_decimal: bool = False) -> None:
        self._wanted = wanted
        self._comma_is_decimal = comma_is_decimal
        # Whoever has said what is missing may have a label like any marker.
        says = wanted.type is None and wanted.is_target and wanted.missing is not None
        self._markers = MarkerTexts(("",) if says else ("", *MARKERS))
        self._rows = 0
        self._is_text = wanted.type == "text"
        self._all_cast = True
        """Whether each part is numbers as Arrow reads them, without a blank or a marker."""
        self._has_values = False
        self._all_boolean = self._all_number = True
        self._any_number = False
        forms: list[Written] = [*_FORMS] if wanted.type == "number" else ["plain"]
        if comma_is_decimal and wanted.type == "number":
            forms.remove("thousands")
        elif comma_is_decimal:
            forms.append("decimal comma")
        self._forms: dict[Written, NumberChecks] = {form: NumberChecks() for form in forms}
        """How all numbers so far may be written, and what is wrong with them if they are so."""
        self._code = ""
        self._labels = LabelSpellings()
        self._odd: tuple[int, str] | None = None
        self._not_boolean: tuple[int, str] | None = None
        self._converted: tuple[Any, Any] | None = None

    def look(self, array: Any) -> None:
        """Look at the next part, an Arrow array of strings with null for an empty field."""
        part, start = without(array, self._wanted.missing), self._rows
        self._rows += len(part)
        if self._is_text:
            return
        if self._wanted.type == "boolean":
            self._look_at_booleans(self._markers.removed(part), start)
            return
        doubles = _cast(part)
        self._converted = (array, doubles) if not start and doubles is not None else None
        if doubles is None:
            self._all_cast = False
            self._look_closely(part, start)
        else:
            values = as_floats(doubles)
            if np.isinf(values).any():
                self._look_closely(part, start)
            else:
                self._look_at_numbers(part, values, start)
        possible = self._all_cast or self._all_boolean or self._forms
        self._is_text = self._wanted.type is None and not possible

    def _look_at_numbers(self, array: Any, values: NDArray[np.float64], start: int) -> None:
        """Take in a part that is plain, finite numbers, and perhaps nulls."""
        if array.null_count < len(array):
            self._has_values, self._any_number, self._all_boolean = True, True, False
            self._forms.pop("percent", None)
        for checks in self._forms.values():
            checks.look(array, values, start)
        self._look_at_spelling(array, values)

    def _look_at_spelling(self, array: Any, values: NDArray[np.float64]) -> None:
        if self._wanted.type is not None:
            return
        if self._wanted.is_target:
            self._labels.look(array, values)
        elif not self._code:
            self._code = _first_code(array)

    def _look_at_booleans(self, array: Any, start: int) -> None:
        if self._not_boolean is None:
            wrong = pc.and_(pc.is_valid(array), pc.is_null(_flags(array)))
            if pc.any(wrong, min_count=0).as_py():
                row = pc.index(wrong, True).as_py()
                self._not_boolean = (start + row, array[row].as_py())

    def _look_closely(self, array: Any, start: int) -> None:
        """Take in a part by its distinct values."""
        array = self._markers.removed(array)
        distinct = pc.unique(array.drop_null())
        if not len(distinct):
            self._look_at_spelling(array, np.full(len(array), np.nan))
            return
        self._has_values = True
        number = matches(distinct, NUMBER)
        is_number = pc.all(number).as_py()
        self._all_number &= is_number
        self._any_number |= pc.any(number).as_py()
        self._all_boolean &= pc.all(matches(distinct, BOOLEAN)).as_py()
        if self._odd is None and not is_number:
            odd = distinct.filter(pc.invert(number))[0].as_py()
            self._odd = (start + pc.index(array, odd).as_py(), odd)
        for form in list(self._forms):
            if form == "plain" and self._wanted.type is None:
                # Infinity among numbers is refused; as text it would pass unseen.
                fits = pc.all(pc.or_(number, matches(distinct, NOT_FINITE))).as_py()
            else:
                fits = is_written(distinct, form)
            if not fits:
                del self._forms[form]
                continue
            values = as_floats(to_doubles(array, form))
            self._forms[form].look(array, values, start)
            if form == "plain":
                self._look_at_spelling(array, values)

    def decide(self) -> Decided:
        """Return what the column is; raises ValueError with what is wrong with it."""
        missing = self._wanted.missing
        match self._wanted.type:
            case "text":
                return Decided("text", missing=missing)
            case "boolean":
                return self._boolean_as_said()
            case "number":
                return self._number_as_said()
        if self._all_cast:
            return self._number(check_first=False)
        plain, comma = self._forms.get("plain"), self._forms.get("decimal comma")
        is_plain = self._all_boolean or self._all_number or comma is not None
        if self._markers.any and not is_plain:
            return Decided("text", missing=missing)
        if not self._has_values:
            return self._decided("number")
        if self._all_boolean:
            return self._decided("boolean")
        if plain is not None and self._any_number:
            return self._number(check_first=True)
        if comma is not None:
            comma.refuse()
            return self._decided("number", "decimal comma", ["has decimal commas"])
        return Decided("text", missing=missing)

    def _decided(
        self, type_: FeatureType, written: Written = "", notes: Sequence[str] = ()
    ) -> Decided:
        """Return a decision by which the usual markers are missing values."""
        markers = self._markers
        return Decided(
            type_,
            written,
            [*markers.notes(), *notes],
            self._wanted.missing,
            markers.texts if markers.any else (),
            self._converted if type_ == "number" and not markers.any else None,
        )

    def _number(self, check_first: bool) -> Decided:
        """Decide for numbers, or for text where they would lose their spelling."""
        checks = self._forms["plain"]
        if check_first or self._wanted.is_target:
            checks.refuse()
        code = self._code
        if self._wanted.is_target:
            code = self._labels.code()
            note = (
                f"holds the label {quoted(code)}, which would lose its spelling as a number: the "
                "labels are texts"
            )
        else:
            note = (
                f"holds {quoted(code)}, which would lose its spelling as a number, and is kept as "
                'text; "types" can say that it is a number'
            )
        if code:
            decided = self._decided("text", notes=[note])
            return Decided("text", "", decided.notes, decided.missing, decided.gone)
        checks.refuse()
        return self._decided("number")

    def _boolean_as_said(self) -> Decided:
        if self._not_boolean is not None:
            row, text = self._not_boolean
            raise ValueError(
                f'row {row + 1:,} holds {quoted(text)}, and "types" says that it is a boolean: '
                "true or false"
            )
        return self._decided("boolean")

    def _number_as_said(self) -> Decided:
        written = next((form for form in _FORMS if form in self._forms), None)
        if written is None:
            assert self._odd is not None
            row, text = self._odd
            raise ValueError(
                f'row {row + 1:,} holds {quoted(text)}, and "types" says that it is a number'
            )
        self._forms[written].refuse()
        how = [] if written == "plain" else [f"is read as numbers; {_SPELLED[written]}"]
        return self._decided("number", written, how)


def _cast(array: Any) -> Any:
    """Return the doubles of an array of plain numbers, perhaps infinite; None of any other."""
    try:
        doubles = array.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    missing = pc.sum(pc.is_null(doubles, nan_is_null=True), min_count=0).as_py()
    return doubles if missing == array.null_count else None


def _first_code(array: Any) -> str:
    # Most numbers that begin with 0 are fractions; a regular expression would look at each.
    zero = pc.and_not(pc.starts_with(array, "0"), pc.starts_with(array, "0."))
    codes = array.filter(zero, null_selection_behavior="drop")
    codes = codes.filter(matches(codes, CODE))
    return str(codes[0].as_py()) if len(codes) else ""


def _flags(array: Any) -> Any:
    """Return 1 for true and 0 for false; null for null and for what is neither."""
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(array))
    codes = pc.index_in(lower, pa.array(list(_FLAGS), pa.string()), skip_nulls=True)
    return pa.array(list(_FLAGS.values())).take(codes)
