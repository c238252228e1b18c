"""Whether a column can be a feature or a target: what is checked before any fit."""

import re
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.common.errors import Problem, clip
from service.schema.contract import Label
from service.worker.data.table import Column

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
    name: str, column: Column
) -> tuple[tuple[Label, ...], NDArray[np.int64], list[Problem]]:
    """Return the classes in scikit-learn's order and each row's class; or what is wrong."""
    problems: list[Problem] = []

    def wrong(message: str) -> tuple[tuple[Label, ...], NDArray[np.int64], list[Problem]]:
        return (), np.empty(0, np.int64), [Problem("/target", f"column {clip(name)!r} {message}")]

    missing = int(np.count_nonzero(column.missing))
    if missing:
        return wrong(f"is missing in {missing:,} of {len(column.values):,} rows; leave them out")
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


def check_feature(column: Column, largest: float) -> str:
    """Return why a column cannot be a feature; empty if it can."""
    missing = column.missing
    present = column.values[~missing]
    if not len(present):
        return "has no value in any row; leave it out"
    if column.type == "number":
        beyond = np.abs(present) > largest
        if beyond.any():
            row = int(np.flatnonzero(np.abs(column.values) > largest)[0]) + 1
            return (
                f"has a number beyond {largest:.2g} in row {row:,}, more than can be computed with"
            )
        return ""
    return _check_text(present) if column.type == "text" else ""


def _check_text(present: NDArray[Any]) -> str:
    distinct: list[str] = pd.unique(present).tolist()
    sample = distinct[:: max(len(distinct) // 500, 1)]
    if 5 * sum(_DATE.fullmatch(text) is not None for text in sample) >= 4 * len(sample):
        return (
            f"looks like dates or times ({clip(sample[0], 32)!r}); send unix seconds, or year, "
            "month and day as columns of their own, or leave it out"
        )
    numbers = [_NUMBER.fullmatch(text) is not None for text in distinct]
    count = sum(numbers)
    odd = len(distinct) - count
    mostly = f"{count:,} of its {len(distinct):,} different values look like numbers"
    if odd and count >= 10 and count >= 4 * odd:
        other = distinct[numbers.index(False)]
        return (
            f"is text, but {mostly} and {clip(other, 32)!r} does not: leave a field empty where "
            "the value is missing"
        )
    unique = len(distinct) > 20 and len(distinct) > 0.9 * len(present)
    if unique or len(distinct) > MOST_CATEGORIES:
        why = "nearly every row has another" if unique else f"more than {MOST_CATEGORIES:,}"
        hint = f" ({mostly}: send them as numbers)" if 2 * count > len(distinct) else ""
        return (
            f"has {len(distinct):,} different texts, {why}{hint}; that looks like an identifier or "
            "free text: leave it out"
        )
    return ""
