"""Single rows of each protocol, read ahead of ASGI; None says nothing about a request."""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from service.api.inference.codec import InferenceCodec
from service.api.inference.requests import PREDICT, Wanted
from service.api.scoring.codec import ScoringCodec
from service.api.written import Written
from service.common.errors import InvalidInput
from service.models.classifier import Labels
from service.schema.decoder import Row
from service.server.fast_path.replies import FastForm
from service.serving.predictor import Predictor
from service.serving.served_model import ServedModel

_MOST_FORMS = 64
"""Different heads of binary requests that are remembered; clients send very few."""
_NUMBER_BYTES = 8


OpenForm = Callable[[Sequence[Written] | None], FastForm]
"""Makes a form of replies by the index of the class; None: those of `/predict`."""


class FoundRow(NamedTuple):
    """The row of a request, and how it is to be answered."""

    form: FastForm
    row: Row
    probabilities: bool


class RowReader(Protocol):
    """Reads the single row of a plain request of one protocol."""

    def __call__(self, body: bytes, head_bytes: int | None) -> FoundRow | None:
        """Return the row; `head_bytes` are those of the JSON before binary tensors."""


class OwnRows:
    """Reads rows of `/predict`."""

    def __init__(self, served: ServedModel, open_form: OpenForm) -> None:
        self._decode = served.predictor.decode_row
        self._form = open_form(None)

    def __call__(self, body: bytes, head_bytes: int | None) -> FoundRow | None:
        """Return the row."""
        decoded = self._decode(body) if head_bytes is None else None
        return None if decoded is None else FoundRow(self._form, *decoded)


class _RowTensor(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[float | list[float]]
    """Flat, or nested as its shape says."""


class _RowRequest(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    inputs: list[_RowTensor]


class InferenceRows:
    """Reads rows of the Open Inference Protocol: one FP64 tensor [1, F], in JSON or in binary.

    The heads of binary requests are remembered: the same bytes need not be read again.
    """

    def __init__(self, served: ServedModel, open_form: OpenForm) -> None:
        self._open_form = open_form
        self._codec = served.codec(InferenceCodec)
        self._width = len(served.predictor.schema.features)
        self._checked = _checker(served.predictor)
        self._unpack = struct.Struct(f"<{self._width}d").unpack
        self._size = _NUMBER_BYTES * self._width
        self._decode = msgspec.json.Decoder(_RowRequest).decode
        self._json = self._form(binary=False)
        self._forms: dict[bytes, FastForm | None] = {}

    def __call__(self, body: bytes, head_bytes: int | None) -> FoundRow | None:
        """Return the row."""
        if head_bytes is None:
            return self._of_json(body)
        if len(body) - head_bytes != self._size:
            return None
        head = body[:head_bytes]
        form = self._forms.get(head)
        if form is None:
            form = self._learn(head, body)
        row = None if form is None else self._checked(self._unpack(body[head_bytes:]))
        return None if row is None or form is None else FoundRow(form, row, False)

    def _of_json(self, body: bytes) -> FoundRow | None:
        try:
            inputs = self._decode(body).inputs
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if len(inputs) != 1:
            return None
        tensor = inputs[0]
        values = _flat(tensor.data)
        if (
            tensor.datatype != "FP64"
            or tensor.shape != [1, self._width]
            or values is None
            or len(values) != self._width
            or body.count(b":") != 5 + tensor.name.count(":")  # else a key is there twice
            or b"\\" in body
        ):
            return None
        row = self._checked(values)
        return None if row is None else FoundRow(self._json, row, False)

    def _learn(self, head: bytes, body: bytes) -> FastForm | None:
        """Find out what requests with this head ask for."""
        if head in self._forms:
            return None
        if len(self._forms) >= _MOST_FORMS:
            self._forms.clear()
        form = None
        try:
            request = self._codec.read(body, len(head), careful=False)
        except InvalidInput:
            request = None
        if (
            request is not None
            and request.id is None
            and len(request.outputs) == 1
            and request.outputs[0].name == PREDICT
            and len(request.tensors) == 1
            and request.tensors[0].shape == (1, self._width)
            and isinstance(values := request.tensors[0].values, np.ndarray)
            and values.dtype == np.float64
            and not request.by_column
        ):
            form = self._form(request.outputs[0].binary)
        self._forms[head] = form
        return form

    def _form(self, binary: bool) -> FastForm:
        """Prepare the replies to one row."""
        outputs = (Wanted(PREDICT, binary),)
        encode, classes = self._codec.encoder.encode, self._codec.classes
        return self._open_form(
            [encode(outputs, None, _one(label), None) for label in range(classes)]
        )


def _flat(data: list[float | list[float]]) -> Row | None:
    """Return the values of one row, flat or nested; None where they are both."""
    if len(data) == 1 and isinstance(data[0], list):
        return tuple(data[0])
    values = tuple(value for value in data if type(value) is float)
    return values if len(values) == len(data) else None


class _RowSplit(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    columns: list[str]
    data: list[list[float]]
    index: list[int] | msgspec.UnsetType = msgspec.UNSET


class _RowFrame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    dataframe_split: _RowSplit


class ScoringRows:
    """Reads rows of MLflow's protocol: a `dataframe_split` of one row, in the schema's order."""

    def __init__(self, served: ServedModel, open_form: OpenForm) -> None:
        codec = served.codec(ScoringCodec)
        self._names = [feature.name for feature in served.predictor.schema.features]
        self._colons = 3 + sum(name.count(":") for name in self._names)
        self._checked = _checker(served.predictor)
        self._decode = msgspec.json.Decoder(_RowFrame).decode
        labels = range(len(served.predictor.schema.classes))
        self._form = open_form([codec.write_labels(_one(label), None) for label in labels])

    def __call__(self, body: bytes, head_bytes: int | None) -> FoundRow | None:
        """Return the row."""
        try:
            split = self._decode(body).dataframe_split
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        data = split.data
        if (
            head_bytes is not None
            or len(data) != 1
            or len(data[0]) != len(self._names)
            or split.columns != self._names
            or body.count(b":") != self._colons + (split.index is not msgspec.UNSET)
            or b"\\" in body
        ):
            return None
        row = self._checked(tuple(data[0]))
        return None if row is None else FoundRow(self._form, row, False)


def _checker(predictor: Predictor) -> Callable[[Row], Row | None]:
    """Return what checks a row of numbers; it passes none where features are of other types."""
    decoder = predictor.decoder
    if not decoder.only_numbers:
        return lambda _: None
    checked = decoder.checked

    def check(row: Row) -> Row | None:
        total = sum(row)
        return checked(row) if total == total else None  # NaN is no number

    return check


def _one(label: int) -> Labels:
    return np.array([label])
