"""Adapts Schemathesis to this service: files of rows, and trainings that are short.

Runs in Schemathesis's own environment.
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st

_FILES = Path(os.environ["FUZZ_FILES"])
_NUMBERS = st.floats(-100, 100, allow_nan=False).map(repr)
_HEADER = (_FILES / "rows.csv").read_text().split("\n", 1)[0]


def _csv(rows: list[list[str]]) -> bytes:
    return "\n".join([_HEADER, *map(",".join, rows), ""]).encode()


_TENSOR = {"name": "x", "shape": [1, 4], "datatype": "FP64"}
_HEAD = json.dumps({"inputs": [{**_TENSOR, "parameters": {"binary_data_size": 32}}]}).encode()
_LENGTH = "Inference-Header-Content-Length"
schemathesis.openapi.media_type(
    "application/octet-stream", st.binary(min_size=32, max_size=32).map(lambda tail: _HEAD + tail)
)

_ROWS = st.lists(st.lists(_NUMBERS, min_size=4, max_size=4), min_size=2, max_size=20)
schemathesis.openapi.media_type("text/csv", _ROWS.map(_csv))
for _kind, _end in (
    ("application/vnd.apache.parquet", "parquet"),
    ("application/vnd.apache.arrow.stream", "arrow"),
):
    _found = [path.read_bytes() for path in sorted(_FILES.glob(f"*.{_end}"))]
    schemathesis.openapi.media_type(_kind, st.sampled_from(_found))


@schemathesis.hook
def before_load_schema(_: Any, raw_schema: Any) -> None:
    """Leave the CSV examples to `tests/api/test_openapi.py`: a strategy allows only bytes."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {})
            content.get("text/csv", {}).pop("example", None)


_FLOWERS = "flowers"
"""The model that `tests.fuzz.api` trains first."""

_trained = {_FLOWERS}
"""Models with the same schema as the model in use when the document was read."""


@schemathesis.hook
def before_call(_: Any, case: Any, kwargs: Any) -> None:
    """Keep a model in use that accepts what the document says, and keep trainings short.

    A share of the valid requests names existing things, as made-up names only get a 404.
    """
    del kwargs
    body, label, share = case.body, case.operation.label, _share(case)
    if isinstance(body, bytes) and body.startswith(_HEAD):
        case.headers[_LENGTH] = str(len(_HEAD))
    if label == "POST /datasets" and share < 100:
        case.query.setdefault("name", "made-up")  # which only a form or a file name may replace
    if not isinstance(body, dict):
        return
    if label == "POST /train":
        _write_digits(body, ("seed", "cv"))
        if share < 50 and case.media_type == "application/json":
            body["dataset"] = "iris"
        _shorten(body, case.media_type == "application/json")
        if share < 2:
            body.update(_LONG)
    elif label == "POST /datasets" and case.media_type == "application/json" and share < 50:
        case.body = {"columns": ["a", "b"], "rows": [[share, "yes"], [2, "no"]]}
    elif label == "POST /invocations" and share < 50:
        names = _HEADER.split(",")
        case.body = {"dataframe_split": {"columns": names, "data": [[share, 1, 2, 0.5]]}}
    elif label.endswith("/infer") and share < 50:
        outputs = [{"name": "predict"}, {"name": "predict_proba"}][: 1 + share % 2]
        tensor = {**_TENSOR, "data": [share, 1, 2, 0.5]}
        case.body = {"inputs": [tensor], "outputs": outputs}
    elif label.endswith("/load") and not _is_trained(case.path_parameters.get("name")):
        body["parameters"] = {"version": "999999999"}  # it is looked up, and then refused
    elif label == "POST /use-model":
        if share < 50:
            case.body = {"name": _FLOWERS, "version": 1}
            return
        _write_digits(body, ("version", "expected_epoch"))
        if not _is_trained(body.get("name")):
            # It is looked up like any other, and then refused.
            body["expected_epoch"] = 0


_LONG = {
    "dataset": "digits",
    "model_type": "GradientBoostingClassifier",
    "params": {"n_estimators": 60},
    "use": False,
    "wait": 0,
}
"""A training that runs for a while, so that it can be cancelled."""


def _share(case: Any) -> int:
    """Return a number below 100 derived from a valid request; 100 for an invalid one."""
    if case.meta is None or case.meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return 100
    return zlib.crc32(repr(case.body).encode()) % 100


def _is_trained(name: object) -> bool:
    return isinstance(name, str) and name in _trained


def _write_digits(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Write 3.0 as 3: both are integers in JSON Schema, but the service accepts only 3.

    `tests/api/test_bad_input.py` covers the other one.
    """
    for key in keys:
        value = body.get(key)
        if isinstance(value, float) and value.is_integer():
            body[key] = int(value)


def _shorten(body: dict[str, Any], typed: bool) -> None:
    """Make requests that train on a named data set train a small tree on the same rows."""
    if body.get("dataset") not in ("iris", "wine", "digits", "breast_cancer"):
        if body.get("use") in (None, True):
            body["use"] = False if typed else "false"
        return
    body["dataset"] = "iris"
    body["model_type"] = "DecisionTreeClassifier"
    for key in ("params", "search", "target"):
        body.pop(key, None)
    name = body.get("name") or "iris"
    if isinstance(name, str):
        _trained.add(name)
