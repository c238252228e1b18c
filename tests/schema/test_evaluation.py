"""A strict reader of `evaluation.json`: what others may have written in its place is refused."""

import json
from typing import Any

import pytest

from service.schema.evaluation import MOST_BYTES, decode, encode

GOOD: dict[str, Any] = {
    "rows": 7,
    "classes": ["a", True, 1],
    "by_class": [
        {"label": label, "rows": 2, "precision": 1, "recall": 0.5, "f1": 0.25}
        for label in ("a", True, 1)
    ],
    "confusion": [[1, 0, 0], [0, 2, 0], [1, 0, 3]],
    "roc": [{"label": True, "auc": 0.75, "points": [[0, 0], [0.5, 1.0], [1, 1]]}],
    "calibration": [{"label": 1, "bins": [{"predicted": 0.1, "observed": 0, "rows": 7}]}],
}


def written(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(*names: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key not in names}).encode()


def test_what_was_recorded_is_read_as_it_was() -> None:
    found = decode(written())

    assert json.loads(encode(found)) == GOOD
    assert [type(label) for label in found.classes] == [str, bool, int]


def test_what_was_not_recorded_stays_absent() -> None:
    data = without("confusion", "roc", "calibration")

    assert json.loads(encode(decode(data))) == json.loads(data)


def test_what_a_newer_release_adds_is_ignored() -> None:
    by_class = [{**one, "more": 1} for one in GOOD["by_class"]]

    assert decode(written(brier=0.1, by_class=by_class)) == decode(written())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"<html>",
        b"[" * 100_000,
        written()[:-1],
        written()[:-1] + b" " * MOST_BYTES + b"}",
        written().replace(b"0.75", b"NaN"),
        written().replace(b"0.75", b"1e999"),
        written().replace(b"0.75", b"Infinity"),
        *(without(name) for name in ("rows", "classes", "by_class")),
        written(rows=0),
        written(rows="7"),
        written(rows=7.5),
        written(classes=["a"]),
        written(classes=["a", True, 2]),
        written(classes=["a", 1, True]),
        written(classes=["a", True, {"b": 1}]),
        written(by_class=GOOD["by_class"][:2]),
        written(by_class=[{**one, "f1": 1.5} for one in GOOD["by_class"]]),
        written(by_class=[{**one, "rows": -1} for one in GOOD["by_class"]]),
        written(confusion=[[1, 0, 0]]),
        written(confusion=[[1, 0], [0, 1], [0, 0]]),
        written(confusion=[[1, 0, 0], [0, 2, 0], [0, 0, -3]]),
        written(confusion=[[1, 0, 0], [0, 2, 0], [0, 0, 0.5]]),
        written(roc=[{"label": "other", "auc": 0.5, "points": [[0, 0], [1, 1]]}]),
        written(roc=[{"label": "a", "auc": 0.5, "points": [[0, 0]]}]),
        written(roc=[{"label": "a", "auc": 0.5, "points": [[0, 0, 0], [1, 1, 1]]}]),
        written(roc=[{"label": "a", "auc": 0.5, "points": [[0, 0], [1, 2]]}]),
        written(roc=[{"label": "a", "auc": 0.5, "points": [[0, 0]] * 201}]),
        written(roc=GOOD["roc"] * 11),
        written(calibration=[{"label": "a", "bins": []}]),
        written(calibration=[{"label": "a", "bins": GOOD["calibration"][0]["bins"] * 11}]),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(data)
