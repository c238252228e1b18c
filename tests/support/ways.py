"""Every way to ask a version for predictions, so that all can be asked for the same rows."""

import csv
import io
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from tests.support.server import Client

_BINARY = "inference-header-content-length"
_DATATYPES = {"number": "FP64", "text": "BYTES", "boolean": "BOOL"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of values in the order of the features, and whether probabilities are asked for."""

    name: str
    version: int
    features: Sequence[tuple[str, str]]
    """Names and types."""
    rows: Sequence[Sequence[Any]]
    probabilities: bool

    @property
    def only_numbers(self) -> bool:
        """Whether rows can be arrays, and one tensor without missing values."""
        cells = (cell for row in self.rows for cell in row)
        return all(kind == "number" for _, kind in self.features) and None not in cells

    @property
    def names(self) -> list[str]:
        """The names of the features."""
        return [name for name, _ in self.features]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows as objects."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The values of each feature."""
        return dict(zip(self.names, map(list, zip(*self.rows, strict=True)), strict=True))


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; probabilities as bytes of float64, so that each bit counts."""

    status: int
    labels: tuple[Any, ...] | None = None
    probabilities: bytes | None = None

    @staticmethod
    def of(labels: Sequence[Any] | None, chances: Any) -> "Answered":
        """Return an answer; labels with their types, as True equals 1."""
        typed = None if labels is None else tuple((type(label), label) for label in labels)
        listed = None if chances is None else np.array(chances, np.float64).tobytes()
        return Answered(200, typed, listed)

    def agrees(self, other: "Answered") -> bool:
        """Return whether both say the same, in all that both say."""
        if self.status != other.status:
            return False
        pairs = ((self.labels, other.labels), (self.probabilities, other.probabilities))
        return all(one == two for one, two in pairs if one is not None and two is not None)


Way = Callable[[Client, Asked], Answered]


def _own(reply: httpx.Response) -> Answered:
    if reply.status_code != 200:
        return Answered(reply.status_code)
    body = reply.json()
    return Answered.of(body["predictions"], body.get("probabilities"))


def _instances(asked: Asked, arrays: bool) -> dict[str, Any]:
    more = {"probabilities": True} if asked.probabilities else {}
    return {"instances": asked.rows if arrays else asked.records, **more}


def _by_own_path(path: str, arrays: bool) -> Way:
    def ask(client: Client, asked: Asked) -> Answered:
        url = path.format(name=asked.name, version=asked.version)
        return _own(client.post(url, json=_instances(asked, arrays)))

    return ask


def _tensor(name: str, kind: str, values: list[Any], shape: list[int]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": _DATATYPES[kind], "data": values}


def _inputs(asked: Asked, whole: bool) -> list[dict[str, Any]]:
    if whole:
        shape = [len(asked.rows), len(asked.features)]
        return [_tensor("x", "number", [cell for row in asked.rows for cell in row], shape)]
    columns, shape = asked.columns, [len(asked.rows), 1]
    return [_tensor(name, kind, columns[name], shape) for name, kind in asked.features]


def _packed(tensor: dict[str, Any]) -> bytes | None:
    """Return a tensor's values in binary, None where it cannot say that one is missing."""
    values, datatype = tensor["data"], tensor["datatype"]
    if datatype == "FP64":
        return np.array(values, "<f8").tobytes()  # None becomes NaN
    if None in values:
        return None
    if datatype == "BOOL":
        return bytes(values)
    texts = [text.encode() for text in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _by_inference(path: str, whole: bool, binary_in: bool, binary_out: bool) -> Way:
    def ask(client: Client, asked: Asked) -> Answered:
        url = path.format(name=asked.name, version=asked.version)
        inputs, tail = _inputs(asked, whole), b""
        for tensor in inputs if binary_in else ():
            packed = _packed(tensor)
            if packed is not None:
                tail += packed
                del tensor["data"]
                tensor["parameters"] = {"binary_data_size": len(packed)}
        request: dict[str, Any] = {"inputs": inputs}
        if asked.probabilities:
            request["outputs"] = [{"name": "predict_proba"}, {"name": "predict"}]
        if binary_out:
            request["parameters"] = {"binary_data_output": True}
        head = json.dumps(request).encode()
        headers = {_BINARY: str(len(head))} if binary_in else {}
        headers["content-type"] = "application/octet-stream" if binary_in else "application/json"
        return _inferred(client.post(url, content=head + tail, headers=headers))

    return ask


def _inferred(reply: httpx.Response) -> Answered:
    if reply.status_code != 200:
        return Answered(reply.status_code)
    size = int(reply.headers.get(_BINARY, len(reply.content)))
    head, tail = json.loads(reply.content[:size]), reply.content[size:]
    found: dict[str, Any] = {}
    for output in head["outputs"]:
        data = output.get("data")
        if data is None:
            length = output["parameters"]["binary_data_size"]
            data, tail = _unpacked(output["datatype"], tail[:length]), tail[length:]
        found[output["name"]] = data
    assert tail == b""
    return Answered.of(found["predict"], found.get("predict_proba"))


def _unpacked(datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        dtype = {"BOOL": "?", "INT64": "<i8", "FP64": "<f8"}[datatype]
        values: list[Any] = np.frombuffer(data, dtype).tolist()
        return values
    texts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        texts.append(data[4:end].decode())
        data = data[end:]
    return texts


def _by_scoring(form: Callable[[Asked], dict[str, Any]]) -> Way:
    def ask(client: Client, asked: Asked) -> Answered:
        params = {"params": {"predict_fn": "predict_proba"}} if asked.probabilities else {}
        reply = client.post("/invocations", json={**form(asked), **params})
        if reply.status_code != 200:
            return Answered(reply.status_code)
        predictions = reply.json()["predictions"]
        return Answered.of(*((None, predictions) if params else (predictions, None)))

    return ask


def _by_csv(client: Client, asked: Asked) -> Answered:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(asked.names)
    for row in asked.rows:
        cells = [str(cell).lower() if isinstance(cell, bool) else cell for cell in row]
        writer.writerow(["" if cell is None else cell for cell in cells])
    reply = client.post(
        "/invocations", content=file.getvalue().encode(), headers={"content-type": "text/csv"}
    )
    return _own(reply)


_VERSION = "/v2/models/{name}/versions/{version}/infer"

OF_ANY_TYPE: Mapping[str, Way] = {
    "predict": _by_own_path("/predict", False),
    "version": _by_own_path("/models/{name}/versions/{version}/predict", False),
    "V1": _by_own_path("/v1/models/{name}:predict", False),
    "V2": _by_inference("/v2/models/{name}/infer", False, False, False),
    "V2, binary in": _by_inference("/v2/models/{name}/infer", False, True, False),
    "V2, binary out": _by_inference("/v2/models/{name}/infer", False, False, True),
    "V2, binary both ways": _by_inference(_VERSION, False, True, True),
    "split": _by_scoring(
        lambda asked: {"dataframe_split": {"columns": asked.names, "data": asked.rows}}
    ),
    "records": _by_scoring(lambda asked: {"dataframe_records": asked.records}),
    "inputs": _by_scoring(lambda asked: {"inputs": asked.columns}),
}

OF_NUMBERS: Mapping[str, Way] = {
    **OF_ANY_TYPE,
    "predict, arrays": _by_own_path("/predict", True),
    "V1, arrays": _by_own_path("/v1/models/{name}:predict", True),
    "V2, whole": _by_inference("/v2/models/{name}/infer", True, False, False),
    "V2, whole, binary in": _by_inference("/v2/models/{name}/infer", True, True, False),
    "V2, whole, binary both ways": _by_inference("/v2/models/{name}/infer", True, True, True),
    "V2, whole, by version": _by_inference(_VERSION, True, True, True),
    "instances": _by_scoring(lambda asked: {"instances": asked.rows}),
}


def answers(client: Client, asked: Asked, files: bool = False) -> Iterator[tuple[str, Answered]]:
    """Yield the answer by each way, with `files` also to a CSV file, which takes longer."""
    ways = OF_NUMBERS if asked.only_numbers else OF_ANY_TYPE
    for name, ask in ways.items():
        yield name, ask(client, asked)
    if files and not asked.probabilities:
        yield "CSV", _by_csv(client, asked)
