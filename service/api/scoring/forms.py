"""The four forms of rows in MLflow's scoring protocol, to columns or to arrays.

It takes what MLflow takes, but casts nothing if that loses something: a numeric text is a number,
and `true` is none.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from service.common.did_you_mean import did_you_mean
from service.common.errors import InvalidInput, Problem, quoted

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_SPLIT = ("columns", "index", "data")

_NUMBER = re.compile(r"\s*+[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?\s*+")
"""Possessive, so that it is linear: a text may have 64 KiB, and a body many of them."""


class Rows(NamedTuple):
    """The rows of a request: as columns, or as instances like those of `/predict`."""

    columns: dict[str, list[Any]] | None
    instances: list[Any] | None
    total: int


def rows_of(body: Mapping[str, Any], features: Sequence[str]) -> Rows:
    """Return the rows of a body, which has exactly one form; raises InvalidInput.

    Records become columns of these features, without any other key that they have.
    """
    found = [form for form in FORMS if form in body]
    if len(found) != 1:
        hint = did_you_mean(next(iter(body), ""), FORMS) if not found else ""
        what = f"must have exactly one of {', '.join(FORMS)}, and has {len(found)}{hint}"
        _refuse("", what)
    form = found[0]
    value = body[form]
    if form == "dataframe_split":
        return _of_split(value)
    if form == "inputs" and isinstance(value, dict):
        return _of_columns(value)
    if not isinstance(value, list) or not value:
        _refuse(f"/{form}", "must be a list of rows, with at least one")
    if all(isinstance(row, dict) for row in value):
        return _of_records(value, features)
    if form == "dataframe_records" or not all(isinstance(row, list) for row in value):
        _refuse(f"/{form}", "must be a list of objects, or of arrays of all the same length")
    return Rows(None, value, len(value))


def wants_probabilities(body: Mapping[str, Any]) -> bool:
    """Return whether `params` ask for probabilities; MLflow ignores other names in it, too."""
    params = body.get("params")
    if params is None:
        return False
    if not isinstance(params, dict):
        _refuse("/params", "must be an object")
    function = params.get("predict_fn", "predict")
    if function not in ("predict", "predict_proba"):
        _refuse("/params/predict_fn", "must be 'predict' or 'predict_proba'")
    return bool(function == "predict_proba")


def number_of(value: Any) -> Any:
    """Return the number that a text is, any other value as it is."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


def _of_split(split: Any) -> Rows:
    if not isinstance(split, dict):
        _refuse("/dataframe_split", "must be an object with columns and data")
    for key in split:
        if key not in _SPLIT:
            hint = did_you_mean(key, _SPLIT)
            _refuse("/dataframe_split", f"has the key {quoted(key)}, which is none of it{hint}")
    data, names = split.get("data"), split.get("columns")
    if not isinstance(data, list) or not data or not all(isinstance(row, list) for row in data):
        _refuse("/dataframe_split/data", "must be a list of rows, each a list, with at least one")
    if names is None:
        return Rows(None, data, len(data))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _refuse("/dataframe_split/columns", "must be a list of names")
    if len(set(names)) < len(names):
        _refuse("/dataframe_split/columns", "has a name twice")
    for index, row in enumerate(data):
        if len(row) != len(names):
            what = f"has {len(row)} values for {len(names)} columns"
            _refuse(f"/dataframe_split/data/{index}", what)
    columns = dict(zip(names, map(list, zip(*data, strict=True)), strict=True))
    return Rows(columns, None, len(data))


def _of_columns(columns: dict[str, Any]) -> Rows:
    """Read an object of columns, each a list of values or a single value."""
    listed = {
        name: column if isinstance(column, list) else [column] for name, column in columns.items()
    }
    lengths = set(map(len, listed.values()))
    if len(lengths) != 1 or 0 in lengths:
        _refuse("/inputs", "must have columns of the same length, with at least one row")
    return Rows(listed, None, lengths.pop())


def _of_records(records: list[dict[str, Any]], features: Sequence[str]) -> Rows:
    """Turn records into columns; a key that a record does not have is a missing value there.

    Records of which none has some feature stay as they are, for what is to be said of them. Columns
    of all keys would be as many as there are cells, where no two records share one.
    """
    found: set[str] = set().union(*records)
    if not found.issuperset(features):
        return Rows(None, records, len(records))
    columns = {name: [record.get(name) for record in records] for name in features}
    return Rows(columns, None, len(records))


def _refuse(pointer: str, what: str) -> NoReturn:
    whole = f"{pointer} {what}" if pointer else f"The body {what}"
    raise InvalidInput(whole if whole.endswith("?") else f"{whole}.", [Problem(pointer, what)])
