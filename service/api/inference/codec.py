"""What the Open Inference Protocol needs of one version: its tensors, read and written."""

from typing import Any, NoReturn

import numpy as np

from service.api.inference.replies import OutputEncoder
from service.api.inference.requests import (
    OUTPUTS,
    PREDICT,
    PROBABILITIES,
    InferRequest,
    Wanted,
    read_request,
)
from service.api.inference.tensors import Tensor
from service.api.written import Written
from service.common.errors import BodyTooLarge, InvalidInput, Problem
from service.models.classifier import Floats
from service.schema.contract import FeatureType
from service.schema.example import example_value
from service.serving.predictor import Predictor
from service.serving.question import Question

DATATYPE_OF: dict[FeatureType, str] = {"number": "FP64", "text": "BYTES", "boolean": "BOOL"}

PLATFORM = "sklearn"
_NUMBER_BYTES = 8


class InferenceCodec:
    """Reads requests for one version, and writes its replies."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._columns = predictor.decoder.columns
        self._limits = predictor.limits
        features = predictor.schema.features
        self._names = {feature.name for feature in features}
        self.width = len(features)
        self.classes = len(predictor.schema.classes)
        self.encoder = OutputEncoder(predictor.name, predictor.version, predictor.schema.classes)

    @property
    def example(self) -> dict[str, Any]:
        """A request that works."""
        features = self._predictor.schema.features
        if all(feature.type == "number" for feature in features):
            values = [example_value(feature) for feature in features]
            shape, datatype = [1, self.width], DATATYPE_OF["number"]
            whole = {"name": "input-0", "shape": shape, "datatype": datatype, "data": values}
            return {"inputs": [whole]}
        return {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {
                    "name": feature.name,
                    "shape": [1, 1],
                    "datatype": DATATYPE_OF[feature.type],
                    "data": [example_value(feature)],
                }
                for feature in features
            ],
        }

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs as the metadata shows them."""
        shown = [{"name": PREDICT, "datatype": self.encoder.datatype, "shape": [-1, 1]}]
        if self._predictor.classifier.has_probabilities:
            shape = [-1, len(self._predictor.schema.classes)]
            shown.append({"name": PROBABILITIES, "datatype": "FP64", "shape": shape})
        return shown

    def metadata(self) -> dict[str, Any]:
        """Return the model's metadata without the list of its versions."""
        inputs = [
            {
                "name": feature.name,
                "datatype": DATATYPE_OF[feature.type],
                "shape": [-1, 1],
                **({"parameters": {"content_type": "str"}} if feature.type == "text" else {}),
            }
            for feature in self._predictor.schema.features
        ]
        return {
            "name": self._predictor.name,
            "platform": PLATFORM,
            "inputs": inputs,
            "outputs": self.outputs,
            "parameters": {"content_type": "pd"},
        }

    def question(
        self, body: bytes, head_bytes: int | None, careful: bool
    ) -> Question[Written] | None:
        """Return what a request asks; raises InvalidInput or BodyTooLarge.

        Without `careful` None says that it has to be read with it.
        """
        request = self.read(body, head_bytes, careful)
        if request is None:
            return None
        matrix = self.matrix(request, careful)
        return None if matrix is None else self.asked(request, matrix)

    def read(self, body: bytes, head_bytes: int | None, careful: bool) -> InferRequest | None:
        """Return the parts of a request; raises like `question`, and returns None like it."""
        if head_bytes == 0:
            return self._raw(body)
        return read_request(body, head_bytes, self._limits, careful)

    def asked(self, request: InferRequest, matrix: Floats) -> Question[Written]:
        """Return what a request asks about the rows that it brings."""
        outputs, identifier, encode = request.outputs, request.id, self.encoder.encode
        return Question(
            matrix,
            request.wants_probabilities,
            lambda labels, chances: encode(outputs, identifier, labels, chances),
        )

    def _raw(self, body: bytes) -> InferRequest:
        """Return the request of a body that is the one row of a single tensor, without JSON."""
        size = _NUMBER_BYTES * self.width
        if len(body) != size or not self._predictor.decoder.only_numbers:
            raise InvalidInput(
                f"A body without JSON must be one row of FP64, {size} bytes, and every feature a "
                "number that is never missing.",
                [Problem("", "is no row of FP64")],
            )
        tensor = Tensor("", (1, self.width), np.frombuffer(body, "<f8"))
        has_probabilities = self._predictor.classifier.has_probabilities
        names = OUTPUTS if has_probabilities else OUTPUTS[:1]
        return InferRequest([tensor], tuple(Wanted(name, True) for name in names), False)

    def matrix(self, request: InferRequest, careful: bool) -> Floats | None:
        """Return the rows of a request, [N, F]; raises InvalidInput or BodyTooLarge.

        Without `careful` None says that they have to be read with it.
        """
        tensors = request.tensors
        if not tensors:
            self._refuse("has no inputs")
        if request.by_column or self._names.issubset(tensor.name for tensor in tensors):
            return self._of_columns(tensors, careful)
        if len(tensors) > 1 or (tensors[0].name in self._names and _is_column(tensors[0])):
            return self._of_columns(tensors, careful)
        shape = tensors[0].shape
        if len(shape) == 1 and self.width == 1:
            shape = (*shape, 1)
        if len(shape) != 2:
            self._refuse(
                f"has an input of the shape {list(shape)[:8]}; send one of [rows, {self.width}], "
                "or one of [rows, 1] for each feature"
            )
        if shape[1] != self.width:
            self._refuse(f"has rows of {shape[1]} values, and the model {self.width} features")
        self._check_rows(shape[0])
        values = tensors[0].values
        if isinstance(values, list):
            if not careful:
                return None
            starts = range(0, len(values), self.width)
            return self._columns.of_instances([values[at : at + self.width] for at in starts])
        whole = values.reshape(shape)
        return self._columns.of_matrix(whole) if careful else self._columns.try_matrix(whole)

    def _of_columns(self, tensors: list[Tensor], careful: bool) -> Floats | None:
        rows = len(tensors[0].values)
        for tensor in tensors:
            if not _is_column(tensor):
                self._refuse(
                    f"has the input '{tensor.name[:64]}' of the shape {list(tensor.shape)[:8]}; "
                    "each must be a column, [rows] or [rows, 1]"
                )
            if len(tensor.values) != rows:
                self._refuse("has inputs of different numbers of rows")
        self._check_rows(rows)
        columns = {tensor.name: tensor.values for tensor in tensors}
        if careful:
            return self._columns.of_columns(columns, rows)
        return self._columns.try_columns(columns, rows)

    def _check_rows(self, rows: int) -> None:
        if not rows:
            self._refuse("has no rows; send at least one")
        if rows > self._limits.rows:
            raise BodyTooLarge("The number of instances", self._limits.rows, "rows")

    @staticmethod
    def _refuse(what: str) -> NoReturn:
        raise InvalidInput(f"The request {what}.", [Problem("/inputs", what)])


def _is_column(tensor: Tensor) -> bool:
    return len(tensor.shape) == 1 or (len(tensor.shape) == 2 and tensor.shape[1] == 1)


class InferenceReader:
    """Reads the body of one request, whose head may be followed by binary tensors."""

    def __init__(self, codec: InferenceCodec, head_bytes: int | None) -> None:
        self._codec = codec
        self._head_bytes = head_bytes

    def quick(self, body: bytes) -> Question[Written] | None:
        """Read it with compiled decoders alone; None says nothing about it: use `careful`."""
        try:
            return self._codec.question(body, self._head_bytes, careful=False)
        except (InvalidInput, BodyTooLarge):
            return None

    def careful(self, body: bytes) -> Question[Written]:
        """Read it slowly; raises InvalidInput with what is wrong, or BodyTooLarge."""
        question = self._codec.question(body, self._head_bytes, careful=True)
        assert question is not None
        return question
