"""Whether a column can be a feature or a target: what is checked before any fit."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from service.common.domain import Label, Note
from service.common.errors import Problem, clip, quoted
from service.schema.contract import Written
from service.schema.file_options import MARKERS
from service.worker.data.number_texts import written_as
from service.worker.data.table import Column, Table

MOST_CLASSES = 1_000
MOST_CATEGORIES = 1_000
LONGEST_LABEL = 256

_TIME = r"([T ]+\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*([AaPp][Mm]|Z|[+-]\d{2}:?\d{2})?)?"
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    rf"\s*(\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}{_TIME}"
    rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}}){_TIME}"
    rf"|\d{{1,2}}[ -]{_MONTH}[ ,-]+\d{{2,4}}{_TIME}|{_MONTH} \d{{1,2}},? \d{{4}}{_TIME}"
    r"|\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?)\s*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|\.\d+)([eE][+-]?\d+)?\s*%?\s*")


def classes_of(
    name: str, column: Column, missing_texts: Collection[str] | None = None
) -> tuple[tuple[Label, ...], NDArray[np.int64], list[Problem]]:
    """Return the classes in scikit-learn's order and each row's class; or what is wrong.

    A text that usually means a missing value is no label, unless the owner has said which ones do
    in `missing_texts`.
    """
    problems: list[Problem] = []

    def wrong(message: str) -> tuple[tuple[Label, ...], NDArray[np.int64], list[Problem]]:
        return (), np.empty(0, np.int64), [Problem("/target", f"column {clip(name)!r} {message}")]

    missing = int(np.count_nonzero(column.missing))
    if missing == len(column.values):
        return wrong("has no label in any row")
    if missing:
        first = int(np.argmax(column.missing)) + 1
        return wrong(
            f"is missing in {missing:,} of {len(column.values):,} rows (the first is row "
            f"{first:,}); leave these rows out"
        )
    if column.type == "text" and missing_texts is None:
        marked = np.isin(column.values.astype(str), MARKERS)
        if marked.any():
            row = int(np.argmax(marked))
            label = str(column.values[row])
            return wrong(
                f"holds {quoted(label)} in row {row + 1:,}, which usually means that a value is "
                'missing; leave such rows out, or send "missing": [] to make it a label'
            )
    if column.type == "number" and (column.values != np.round(column.values)).any():
        return wrong(
            "has numbers that are not whole; this service trains classifiers, so group the numbers "
            "into classes first"
        )
    codes, distinct = pd.factorize(column.values, sort=True)
    if len(distinct) < 2:
        return wrong("has one class only; a classifier needs two")
    if len(distinct) > MOST_CLASSES:
        return wrong(f"has {len(distinct):,} classes; there may be {MOST_CLASSES:,}")
    counts = np.bincount(codes)
    if len(distinct) == len(codes):
        return wrong("has another value in every row; that is an identifier, not a class")
    if column.type == "text":
        longest = max(map(len, distinct))
        if longest > LONGEST_LABEL:
            return wrong(f"has labels of up to {longest:,} characters, over {LONGEST_LABEL}")
        labels: tuple[Label, ...] = tuple(str(label) for label in distinct)
    elif column.type == "boolean":
        labels = tuple(bool(label) for label in distinct)
    else:
        labels = tuple(int(label) for label in distinct)
    rare = np.flatnonzero(counts < 2)
    if len(rare):
        shown = ", ".join(clip(repr(labels[k])) for k in rare[:3])
        more = f" and {len(rare) - 3:,} more" if len(rare) > 3 else ""
        problems.append(
            Problem(
                "/target",
                f"column {clip(name)!r} has one row only of class {shown}{more}; two are needed, "
                "one to train and one to test",
            )
        )
    return labels, codes.astype(np.int64), problems


def targets(labels: tuple[Label, ...], codes: NDArray[np.int64]) -> NDArray[Any]:
    """Return the labels of the rows as scikit-learn is fitted on them: str, int64 or bool."""
    first = labels[0]
    kind: Any = bool if isinstance(first, bool) else np.int64 if isinstance(first, int) else str
    return np.array(labels, dtype=kind)[codes]


def check_feature(name: str, column: Column, largest: float, said: bool = False) -> str:
    """Return why a column cannot be a feature; empty if it can.

    `said`: whether its owner has said what type it is, so that nothing is guessed.
    """
    missing = column.missing
    present = column.values[~missing]
    out = f'leave it out by "exclude": ["{clip(name)}"]'
    if not len(present):
        return f"has no value in any row; {out}"
    if column.type == "number":
        beyond = np.abs(present) > largest
        if beyond.any():
            row = int(np.flatnonzero(np.abs(column.values) > largest)[0]) + 1
            return (
                f"has a number beyond {largest:.2g} in row {row:,}, more than can be computed with"
            )
        return ""
    return _check_text(name, present, out, said) if column.type == "text" else ""


def _check_text(name: str, present: NDArray[Any], out: str, said: bool) -> str:
    distinct: list[str] = pd.unique(present).tolist()
    unique = len(distinct) > 20 and len(distinct) > 0.9 * len(present)
    many = unique or len(distinct) > MOST_CATEGORIES
    why = "nearly every row has another" if unique else f"more than {MOST_CATEGORIES:,}"
    if said:
        return f"has {len(distinct):,} different texts, {why}; {out}" if many else ""
    sample = distinct[:: max(len(distinct) // 500, 1)]
    if 5 * sum(_DATE.fullmatch(text) is not None for text in sample) >= 4 * len(sample):
        return (
            f"looks like dates or times ({quoted(sample[0], 32)}); send unix seconds, or year, "
            f"month and day as columns of their own, or {out}"
        )
    as_text = f'"types": {{"{clip(name)}": "text"}} keeps it as text'
    as_number = f'"types": {{"{clip(name)}": "number"}}'
    texts = pa.array(distinct, pa.string())
    written = written_as(texts, comma_is_decimal=False)
    if written in _CAUSES:
        shown = next(text for text in distinct if _SIGN[written] in text)
        return (
            f"holds numbers that are written {_CAUSES[written]} ({quoted(shown, 32)}); {as_number} "
            f"reads them, {as_text}"
        )
    numbers = [_NUMBER.fullmatch(text) is not None for text in distinct]
    count = sum(numbers)
    odd = len(distinct) - count
    mostly = f"{count:,} of its {len(distinct):,} different values look like numbers"
    if odd and count >= 10 and count >= 4 * odd:
        other = distinct[numbers.index(False)]
        return (
            f"is text, but {mostly} and {quoted(other, 32)} does not: if that means a missing "
            f'value, add it to "missing": ["{clip(other, 32)}"]; {as_text}'
        )
    if many:
        hint = f" ({mostly}: empty the other fields)" if 2 * count > len(distinct) else ""
        hint = f" ({mostly}: {as_number} reads them)" if written == "plain" else hint
        return (
            f"has {len(distinct):,} different texts, {why}{hint}; that looks like an identifier or "
            f"free text: {out}"
        )
    return ""


_CAUSES: Mapping[Written, str] = {
    "decimal comma": "with a decimal comma",
    "thousands": "with commas between thousands",
    "percent": "in percent",
}
_SIGN: Mapping[Written, str] = {"decimal comma": ",", "thousands": ",", "percent": "%"}


def marker_notes(table: Table, target: str | None) -> Iterator[Note]:
    """Yield a note for each text column in which a text may mean that a value is missing."""
    for name, column in table.columns.items():
        if column.type == "text" and name != target and table.missing_texts != ():
            counts = {text: int(np.count_nonzero(column.values == text)) for text in MARKERS}
            yield from marker_note(name, counts, table.missing_texts)


def marker_note(name: str, counts: Mapping[str, int], said: Sequence[str] | None) -> Iterator[Note]:
    """Yield a note where a column of text has some of the markers, by how many rows have each.

    `said` are the texts that its owner said mean a missing value.
    """
    found = [text for text in MARKERS if counts.get(text)]
    if found and said != ():
        rows = sum(counts.values())
        shown = " and ".join(map(quoted, found))
        listed = orjson.dumps([*(said or ()), *found]).decode()
        yield Note(
            name,
            f"holds {shown} in {rows:,} {'row' if rows == 1 else 'rows'}, kept as text; "
            f'"missing": {listed} makes that a missing value',
        )


def label_notes(target: str, labels: Sequence[Label]) -> Iterator[Note]:
    """Yield a note where two labels differ in blanks alone."""
    seen: dict[str, str] = {}
    for label in labels:
        if isinstance(label, str):
            other = seen.setdefault(label.strip(), label)
            if other != label:
                yield Note(
                    target,
                    f"has the labels {quoted(other)} and {quoted(label)}, which differ in blanks "
                    "alone: two classes",
                )


_TREES_TELL = 1e-7
"""The difference that scikit-learn's trees can tell: FEATURE_THRESHOLD in its splitter."""


def is_tiny(column: Column) -> bool:
    """Return whether most neighbouring values differ by less than trees can tell.

    Scaling helps where the values are small, and not where they are large and lie close together:
    trees read them as float32.
    """
    values = column.values[~column.missing]
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or largest > 2.0**-4:
        return False
    gaps = np.diff(np.unique(values))
    return bool(len(gaps) and np.median(gaps) <= _TREES_TELL)


_LARGEST_POWER = 1021
"""Its inverse, too, is a number that float64 holds to the last bit."""


def power_of_two(column: Column) -> float:
    """Return the power of two that brings the largest value between 0.5 and 1, or towards it."""
    values = column.values[~column.missing]
    _, exponent = np.frexp(np.abs(values).max())
    return float(2.0 ** min(-int(exponent), _LARGEST_POWER))
