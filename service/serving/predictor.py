"""One version that is ready to answer: it turns the bytes of a request into those of a reply."""

from collections.abc import Sequence
from copy import copy
from math import isfinite
from time import thread_time
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from service.common.errors import InvalidInput
from service.models.classifier import Classifier, Floats, Labels
from service.models.onnx_classifier import BoundRun, OnnxClassifier, bound_runs
from service.schema.contract import Schema
from service.schema.decoder import Decoder, FastDecodeFailed, Limits, Row
from service.schema.example import RequestHelp
from service.schema.missing_texts import MissingTexts
from service.serving.alternate import Alternate
from service.serving.classification import Classification
from service.serving.core_pool import CorePool
from service.serving.expected_times import ExpectedTimes
from service.serving.latency_model import LatencyModel
from service.serving.question import Question
from service.serving.reply_encoder import LabelReplies, Replies, ReplyEncoder
from service.skew.tally import Tally

T = TypeVar("T")

_SHORT_SECONDS = 0.0002
_UNTIMED_RUNS = 63
"""After a run shorter than `_SHORT_SECONDS`, this many runs are not timed. Longer ones are."""


class Predictor(ExpectedTimes):
    """Answers requests from one version of a model.

    `predict` may be called from any thread. Only one thread at a time may call `predict_rows`,
    since it uses buffers of this object.
    """

    def __init__(
        self,
        name: str,
        version: int,
        schema: Schema,
        classifier: Classifier,
        limits: Limits,
        cores: CorePool | None = None,
        alternate: Alternate | None = None,
    ) -> None:
        super().__init__(len(schema.features))
        self.name = name
        self.version = version
        self.schema = schema
        self.classifier = classifier
        self.guide = RequestHelp(schema)
        self.decoder = Decoder(schema, limits)
        self.limits = limits
        title = f"Model {name!r} version {version}"
        self._missing_texts = MissingTexts(schema.features)
        self.classification = Classification(
            title, classifier, cores, alternate, self._missing_texts
        )
        self.replies: Replies = ReplyEncoder({"model": name, "version": version}, schema.classes)
        self._runs = bound_runs(classifier, probabilities=False)
        self._probability_runs = bound_runs(classifier, probabilities=True)
        self._bound, self._in_other_process = bool(self._runs), classifier.in_other_process
        self._row_bytes = len(orjson.dumps([f.example for f in schema.features]))
        self._untimed = 0
        self.stored_bytes = 0
        """The size of its files, set by the loader."""
        self.tally: Tally | None = None
        """Counts the rows that it answers; None if nothing is counted."""
        self._conclude()

    def renamed(self, name: str) -> "Predictor":
        """Return a copy with another name that gives the same answers."""
        predictor = copy(self)
        predictor.name = name
        title = f"Model {name!r} version {self.version}"
        predictor.classification = self.classification.titled(title)
        members = {"model": name, "version": self.version}
        predictor.replies = ReplyEncoder(members, self.schema.classes)
        return predictor

    def replying(self, replies: Sequence[bytes]) -> "Predictor":
        """Return a copy that answers a single row with the reply at the index of its class."""
        predictor = copy(self)
        predictor.replies = LabelReplies(replies)
        return predictor

    @property
    def example(self) -> dict[str, Any]:
        """A request that this version answers."""
        return self.guide.example

    def warm(self) -> None:
        """Answer the example and measure the latency, so that no client waits for the first run.

        Raises InvalidInput if the version does not take its own example.
        """
        body = orjson.dumps(self.example)
        self.predict(body)
        one = self.decoder.decode(body)[0]
        many = np.repeat(one, 64, axis=0)
        self.latency_model = LatencyModel(
            min(self._time(one) for _ in range(3)), self._time(many), len(many)
        )
        self._conclude()

    def _time(self, matrix: NDArray[np.float64]) -> float:
        start = self.classifier.clock()
        self.classifier.labels(matrix)
        return self.classifier.clock() - start

    def _learn(self, rows: int, seconds: float) -> None:
        self.latency_model.learn(rows, seconds)
        self._untimed = 0 if seconds > _SHORT_SECONDS else _UNTIMED_RUNS
        self._conclude()

    def decode_row(self, body: bytes) -> tuple[Row, bool] | None:
        """Return the row of a request for one row, and whether it asks for probabilities.

        `predict_rows` answers it, or `predict_batch` if the model is slow. If this returns None,
        the request may be of any kind: use `predict`.
        """
        decoded = self.decoder.one(body)
        if decoded is not None and decoded[1] and not self.classifier.has_probabilities:
            return None
        return decoded

    def predict_batch(
        self, rows: Sequence[Row], probabilities: bool
    ) -> Sequence[bytes | InvalidInput]:
        """Answer rows from `decode_row` by one run, in any thread.

        If the classifier cannot take a row, its answer is the error that `predict` would raise; the
        others are not affected. Raises an error if the process of the classifier ends.
        """
        if len(rows) == 1:
            return [self._by_itself(rows[0], probabilities)]
        start = self.classifier.clock()
        try:
            matrix = np.array(rows, np.float64)
            labels, chances = self.classification.classify(matrix, probabilities)
        except InvalidInput:
            return [self._by_itself(row, probabilities) for row in rows]
        self._learn(len(rows), self.classifier.clock() - start)
        self.count(matrix, labels, chances)
        if chances is None:
            return [self.replies.single[label] for label in labels.tolist()]
        pairs = zip(labels.tolist(), chances.tolist(), strict=True)
        return [self.replies.with_probabilities(label, chance) for label, chance in pairs]

    def predict_rows(
        self, rows: Sequence[Row], probabilities: bool = False
    ) -> Sequence[bytes | InvalidInput]:
        """Answer rows from `decode_row` by one run on the event loop; at most `max_loop_batch`.

        If the classifier cannot take a row, its answer is the error that `predict` would raise; the
        others are not affected.
        """
        runs = self._probability_runs if probabilities else self._runs
        if not runs:
            return self.predict_batch(rows, probabilities)
        bound = runs.get(len(rows))
        if bound is None:
            assert isinstance(self.classifier, OnnxClassifier)
            bound = runs[len(rows)] = self.classifier.bind(len(rows), probabilities=probabilities)
        bound.inputs[:] = rows
        if self._missing_texts:
            self._missing_texts.fill(bound.inputs)
        try:
            self._untimed -= 1
            if self._untimed < 0:
                start = thread_time()
                bound.run()
                self._learn(len(rows), thread_time() - start)
            else:
                bound.run()
        except Exception:  # ONNX Runtime has an error class for each of its status codes.
            return [self._by_itself(row, probabilities) for row in rows]
        if probabilities:
            return self._with_probabilities(bound, rows)
        labels, replies = bound.labels.tolist(), self.replies.single
        if self.tally is not None and self._missing_texts:
            self.tally.add_rows(rows, labels)  # in the buffer, missing texts are already filled in
        elif self.tally is not None:
            self.tally.add_run(bound.inputs, bound.labels)
        return [replies[label] for label in labels]

    def _with_probabilities(
        self, bound: BoundRun, rows: Sequence[Row]
    ) -> list[bytes | InvalidInput]:
        chances = bound.probabilities
        assert chances is not None
        answers: list[bytes | InvalidInput] = []
        answered: list[int] = []
        labels = bound.labels.tolist()
        for index, (label, chance) in enumerate(zip(labels, chances.tolist(), strict=True)):
            if isfinite(sum(chance)):
                answers.append(self.replies.with_probabilities(label, chance))
                answered.append(index)
            else:
                answers.append(self._by_itself(rows[index], True))
        if self.tally is not None and answered:
            confidence = chances.max(axis=1).tolist()
            picked = [(rows[i], labels[i], confidence[i]) for i in answered]
            self.tally.add_rows(*zip(*picked, strict=True))
        return answers

    def _by_itself(self, row: Row, probabilities: bool) -> bytes | InvalidInput:
        """Answer a row as `predict` would, after its batch failed."""
        try:
            return self._predict(np.array([row], np.float64), probabilities)[0]
        except InvalidInput as error:
            return error

    def predict(self, body: bytes, probabilities: bool = False) -> tuple[bytes, int]:
        """Answer a request, with probabilities if it or the caller asks for them.

        Returns the reply and the number of rows. Raises InvalidInput with every problem, or
        BodyTooLarge if there are too many rows.
        """
        matrix, asked = self.decoder.decode(body)
        return self._predict(matrix, asked or probabilities)

    def predict_at_once(self, body: bytes) -> tuple[bytes, int] | None:
        """Answer a request on the event loop; None if it may take too long for that.

        Raises like `predict`.
        """
        if not self.is_quick(len(body)):
            return None
        try:
            decoded = self.decoder.read(body)
        except FastDecodeFailed:
            if not self.decoder.explains_at_once(body):
                return None
            decoded = self.decoder.explain(body)
        return self._predict(*decoded)

    def _predict(self, matrix: NDArray[np.float64], probabilities: bool) -> tuple[bytes, int]:
        return self.answer(Question(matrix, probabilities, self.replies.encode))

    def count(
        self, matrix: Floats, labels: Labels, probabilities: Floats | None, keep: bool = True
    ) -> None:
        """Count rows [N, F] with the labels and probabilities that `classification` gave them.

        `keep` says that the arrays will not change, so that they need not be copied.
        """
        if self.tally is not None:
            self.tally.add_matrix(matrix, labels, probabilities, keep)

    def answer(self, question: Question[T]) -> tuple[T, int]:
        """Answer a request that has been read; return the reply and the number of its rows.

        Raises InvalidInput for numbers that the classifier cannot take, or for probabilities that
        it does not have.
        """
        rows = len(question.matrix)
        start = self.classifier.clock()
        answers = self.classification.classify(question.matrix, question.probabilities)
        reply = question.write(*answers)
        self.count(question.matrix, *answers)
        if not self.classification.is_shared(rows):  # else the clock has measured only a part
            self._learn(rows, self.classifier.clock() - start)
        return reply, rows
