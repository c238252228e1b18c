"""One version, ready to answer: a request's bytes in, a reply's bytes out."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np
import orjson
from numpy.typing import NDArray

from service.errors import Problem, clip
from service.runtime import BoundRun, Classifier, OnnxClassifier
from service.schema import Schema
from service.schema.decoder import HUGE, Decoder, Limits
from service.schema.example import example
from service.schema.explanation import InvalidInput

_QUICK_SECONDS = 0.001
"""What is expected to take longer than this does not run on the event loop."""

_LARGEST_TURN = 65_536
"""Numbers in one run of several requests' rows: each number of rows keeps buffers of its own."""

_BYTES_A_SECOND = 60e6
"""A low guess of how fast JSON is decoded; only bounds what may stay on the event loop."""


class Predictor:
    """Answers requests from one version of a model.

    `predict` may be called from any thread; `predict_row` and `predict_rows` only from one thread
    at a time, since they work in buffers of their own.
    """

    def __init__(
        self, name: str, version: int, schema: Schema, classifier: Classifier, limits: Limits
    ) -> None:
        self.name = name
        self.version = version
        self.schema = schema
        self.classifier = classifier
        self.example = example(schema)
        self._decoder = Decoder(schema, limits)
        self._head = orjson.dumps({"model": name, "version": version})[:-1] + b',"predictions":['
        self._labels = [orjson.dumps(label) for label in schema.classes]
        self._replies = [b"%b%b]}" % (self._head, label) for label in self._labels]
        self._classes = orjson.dumps(list(schema.classes))
        self._bound = _bind(classifier)
        self._turns: dict[int, BoundRun] = {}
        self._row_seconds = 0.0
        self._base_seconds = 0.0

    def _bind(self, rows: int) -> BoundRun:
        assert isinstance(self.classifier, OnnxClassifier)
        return self.classifier.bind(rows)

    def warm(self) -> None:
        """Answer the example, so that no client waits for the first run, and measure the time.

        Raises InvalidInput if the version does not take its own example.
        """
        body = orjson.dumps(self.example)
        self.predict(body)
        one = self._decoder.decode(body)[0]
        many = np.repeat(one, 64, axis=0)
        self._base_seconds = min(self._time(one) for _ in range(3))
        self._row_seconds = max(0.0, self._time(many) - self._base_seconds) / 64

    def _time(self, matrix: NDArray[np.float64]) -> float:
        start = perf_counter()
        self.classifier.labels(matrix)
        return perf_counter() - start

    def is_quick(self, body_bytes: int) -> bool:
        """Tell whether a body of so many bytes may be answered on the event loop.

        A row takes at least two bytes a feature, which bounds the rows from the bytes.
        """
        rows = max(1, body_bytes // (2 * len(self.schema.features) + 1))
        decode = body_bytes / _BYTES_A_SECOND
        return self._base_seconds + rows * self._row_seconds + decode < _QUICK_SECONDS

    @property
    def quick_alone(self) -> bool:
        """Whether a single row may be answered on the event loop."""
        return self._base_seconds < _QUICK_SECONDS

    def one_row(self, body: bytes) -> tuple[float, ...] | None:
        """Give the values of a request with one plain row of numbers; None: use `predict`."""
        return None if self._bound is None else self._decoder.one(body)

    def predict_row(self, values: tuple[float, ...]) -> bytes:
        """Answer one row that `one_row` gave."""
        bound = self._bound
        assert bound is not None
        bound.inputs[0] = values
        bound.run()
        return self._replies[bound.labels.item()]

    def rows_a_turn(self, most: int) -> int:
        """Give how many single rows may be answered by one run on the event loop."""
        if self._bound is None:
            return 1
        width = max(1, len(self.schema.features))
        quick = _QUICK_SECONDS / max(self._row_seconds, 1e-9)
        return max(1, min(most, int(quick), _LARGEST_TURN // width))

    def predict_rows(self, rows: Sequence[tuple[float, ...]]) -> list[bytes]:
        """Answer rows that `one_row` gave by one run; at most as many as `rows_a_turn` says."""
        bound = self._turns.get(len(rows))
        if bound is None:
            bound = self._turns[len(rows)] = self._bind(len(rows))
        bound.inputs[:] = rows
        bound.run()
        replies = self._replies
        return [replies[label] for label in bound.labels.tolist()]

    def predict(self, body: bytes) -> tuple[bytes, int]:
        """Answer a request; give the reply and the number of its rows.

        Raises InvalidInput with every problem, or BodyTooLarge where there are too many rows.
        """
        matrix, probabilities = self._decoder.decode(body)
        try:
            return self._answer(matrix, probabilities), len(matrix)
        except InvalidInput:
            raise
        except ValueError as error:
            reason = clip(str(error).split("\n")[0].rstrip("."), 200)
            raise InvalidInput(f"The classifier cannot answer this: {reason}.", []) from error

    def _answer(self, matrix: NDArray[np.float64], probabilities: bool) -> bytes:
        if not probabilities:
            labels = self._certain_labels(matrix)
            texts = self._labels
            answers = b",".join([texts[i] for i in labels.tolist()])
            return b"%b%b]}" % (self._head, answers)
        if not self.classifier.has_probabilities:
            raise InvalidInput(
                f"Model {self.name!r} version {self.version} has no probabilities; "
                'leave "probabilities" out, or train a classifier that has them.',
                [],
            )
        labels, rows = self.classifier.labels_and_probabilities(matrix)
        self._check_finite(rows)
        texts = self._labels
        return b'%b%b],"classes":%b,"probabilities":%b}' % (
            self._head,
            b",".join([texts[i] for i in labels.tolist()]),
            self._classes,
            orjson.dumps(np.ascontiguousarray(rows), option=orjson.OPT_SERIALIZE_NUMPY),
        )

    def _certain_labels(self, matrix: NDArray[np.float64]) -> NDArray[np.int64]:
        """Give the labels; where numbers are huge, only after their probabilities proved finite."""
        classifier = self.classifier
        if classifier.doubtful or (classifier.has_probabilities and (np.abs(matrix) > HUGE).any()):
            labels, rows = self.classifier.labels_and_probabilities(matrix)
            self._check_finite(rows)
            return labels
        return self.classifier.labels(matrix)

    def _check_finite(self, rows: NDArray[np.float64]) -> None:
        """A NaN never leaves as a prediction: the classifier could not take the numbers."""
        bad = ~np.isfinite(rows).all(axis=1)
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            raise InvalidInput(
                f"The classifier gives no finite probabilities for {int(bad.sum())} of {len(rows)} "
                f"instances, the first of them /instances/{first}: its numbers are too large.",
                [
                    Problem(f"/instances/{index}", "has numbers too large for this classifier")
                    for index in np.flatnonzero(bad)[:20].tolist()
                ],
            )


def _bind(classifier: Classifier) -> BoundRun | None:
    """Give a run of one row on buffers of its own, where the classifier has such a thing."""
    if not isinstance(classifier, OnnxClassifier):
        return None
    try:
        return classifier.bind(1)
    except ValueError:  # a foreign graph that answers with words, or of no fixed width
        return None
