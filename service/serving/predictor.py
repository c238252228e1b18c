"""One version, ready to answer: a request's bytes in, a reply's bytes out."""

from collections.abc import Sequence
from copy import copy
from math import isfinite
from time import thread_time
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from service.common.errors import InvalidInput
from service.models.classifier import Classifier
from service.models.onnx_classifier import BoundRun, OnnxClassifier, bound_runs
from service.schema.contract import Schema
from service.schema.decoder import Decoder, FastDecodeFailed, Limits, Row
from service.schema.example import RequestHelp
from service.schema.reference import Reference
from service.serving.alternate import Alternate
from service.serving.classification import Classification
from service.serving.core_pool import CorePool
from service.serving.latency_model import LatencyModel
from service.serving.question import Question
from service.serving.reply_encoder import LabelReplies, Replies, ReplyEncoder

T = TypeVar("T")

_QUICK_SECONDS = 0.001
"""A request that is expected to take longer than this does not run on the event loop."""

_LOOP_BATCH_ROWS = 64
_LOOP_BATCH_NUMBERS = 65_536
"""Rows, and numbers, in one run of several requests' rows: each number of rows keeps buffers."""

_SHARED_COST = 4
_SHORT_RUN_SECONDS = 0.003
"""A batch grows until its rows cost this many times what a run costs without them, because more
would save little, or until it takes this long, where handing a run to a thread is what costs."""

_QUEUE_RUNS = 8
_MIN_QUEUE_SECONDS = 0.01
_MAX_QUEUE_SECONDS = 0.05
"""A request should begin within this many times what it takes alone, within these bounds."""

_QUEUED_BYTES_PER_SECOND = 1e6
"""A request may wait one second longer for this many bytes of body: it takes its time anyway."""

_SHORT_SECONDS = 0.0002
_UNTIMED_RUNS = 63
"""Runs shorter than that are timed once in this many and one; longer ones are all timed."""

_DECODED_BYTES_PER_SECOND = 60e6
"""A low estimate of how fast JSON is decoded; it only bounds what may stay on the event loop."""


class Predictor:
    """Answers requests from one version of a model.

    `predict` may be called from any thread; `predict_rows` only from one thread at a time, since it
    works in buffers of its own.
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
        self.name = name
        self.version = version
        self.schema = schema
        self.classifier = classifier
        self.guide = RequestHelp(schema)
        self.latency_model = LatencyModel()
        self.slow = False
        """Whether even a single row may take too long for the event loop, or has to wait."""
        self.max_loop_batch = 1
        """The most single rows that one run on the event loop may answer."""
        self.max_thread_batch = 1
        """The most single rows that one run in a thread answers, where the model is slow."""
        self.seconds_of_batched_row = 0.0
        """What a row is expected to cost as part of a full batch, in seconds."""
        self.decoder = Decoder(schema, limits)
        self.limits = limits
        title = f"Model {name!r} version {version}"
        self.classification = Classification(title, classifier, cores, alternate)
        self.replies: Replies = ReplyEncoder({"model": name, "version": version}, schema.classes)
        self._runs = bound_runs(classifier, probabilities=False)
        self._probability_runs = bound_runs(classifier, probabilities=True)
        self._bound = bool(self._runs)
        self._row_bytes = len(orjson.dumps([f.example for f in schema.features]))
        self._untimed = 0
        self.stored_bytes = 0
        """The size of its files, as its loader found it."""
        self.reference: Reference | None = None
        """What it was trained on; None for a version of others, or of an older release."""
        self._conclude()

    def renamed(self, name: str) -> "Predictor":
        """Return one that answers alike under another name; this one keeps its own."""
        predictor = copy(self)
        predictor.name = name
        title = f"Model {name!r} version {self.version}"
        predictor.classification = self.classification.titled(title)
        members = {"model": name, "version": self.version}
        predictor.replies = ReplyEncoder(members, self.schema.classes)
        return predictor

    def replying(self, replies: Sequence[bytes]) -> "Predictor":
        """Return one that answers single rows with these replies, by the index of the class."""
        predictor = copy(self)
        predictor.replies = LabelReplies(replies)
        return predictor

    @property
    def example(self) -> dict[str, Any]:
        """A request that works."""
        return self.guide.example

    def warm(self) -> None:
        """Answer the example, so that no client waits for the first run, and measure the latency.

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

    def _conclude(self) -> None:
        """Update what follows from the latency model."""
        latency = self.latency_model
        self.slow = self.classifier.in_other_process or latency.seconds(1) >= _QUICK_SECONDS
        most = max(1, min(_LOOP_BATCH_ROWS, _LOOP_BATCH_NUMBERS // len(self.schema.features)))
        row = max(latency.row, 1e-9)
        seconds = max(_SHARED_COST * latency.base, _SHORT_RUN_SECONDS)
        self.max_thread_batch = max(1, min(most, int(seconds / row)))
        self.seconds_of_batched_row = latency.seconds(self.max_thread_batch) / self.max_thread_batch
        if self._bound:
            self.max_loop_batch = max(1, min(most, int(_QUICK_SECONDS / row)))

    def target_queue_seconds(self, body_bytes: int) -> float:
        """Return within how many seconds a request of this size should begin in a thread."""
        rows = max(1, body_bytes // self._row_bytes)
        seconds = max(_MIN_QUEUE_SECONDS, _QUEUE_RUNS * self.latency_model.seconds(rows))
        return min(_MAX_QUEUE_SECONDS, seconds) + self.more_queue_seconds(body_bytes) / 2

    @staticmethod
    def more_queue_seconds(body_bytes: int) -> float:
        """Return how much longer than a single row a request of this size may wait, in seconds."""
        return body_bytes / _QUEUED_BYTES_PER_SECOND

    def seconds_of_body(self, body: bytes) -> float:
        """Return how long a request is expected to take; its rows are estimated by its brackets."""
        return self._seconds(max(1, body.count(b"{") - 1, body.count(b"[") - 1), len(body))

    def seconds_of_bytes(self, body_bytes: int) -> float:
        """Return how long a request in any protocol is expected to take, by its size alone."""
        return self._seconds(max(1, body_bytes // self._row_bytes), body_bytes)

    def _seconds(self, rows: int, body_bytes: int) -> float:
        return self.latency_model.seconds(rows) + body_bytes / _DECODED_BYTES_PER_SECOND

    def is_quick(self, body_bytes: int) -> bool:
        """Return whether a body of this size may be answered on the event loop.

        It may not where another process answers: the loop would wait for it. A row takes at least
        two bytes a feature, which bounds the number of rows.
        """
        if self.classifier.in_other_process:
            return False
        rows = max(1, body_bytes // (2 * len(self.schema.features) + 1))
        return self._seconds(rows, body_bytes) < _QUICK_SECONDS

    def decode_row(self, body: bytes) -> tuple[Row, bool] | None:
        """Return the row of a request that has one, and whether it asks for probabilities.

        `predict_rows` answers it, or `predict_batch` where the model is slow. None says nothing
        about the request: use `predict`.
        """
        decoded = self.decoder.one(body)
        if decoded is not None and decoded[1] and not self.classifier.has_probabilities:
            return None
        return decoded

    def predict_batch(
        self, rows: Sequence[Row], probabilities: bool
    ) -> Sequence[bytes | InvalidInput]:
        """Answer rows from `decode_row` by one run, in any thread.

        A row that the classifier cannot take gets what `predict` would raise; the others are not
        affected. Raises what ends the classifier's process.
        """
        if len(rows) == 1:
            return [self._by_itself(rows[0], probabilities)]
        start = self.classifier.clock()
        try:
            labels, chances = self.classification.classify(
                np.array(rows, np.float64), probabilities
            )
        except InvalidInput:
            return [self._by_itself(row, probabilities) for row in rows]
        self._learn(len(rows), self.classifier.clock() - start)
        if chances is None:
            return [self.replies.single[label] for label in labels.tolist()]
        pairs = zip(labels.tolist(), chances.tolist(), strict=True)
        return [self.replies.with_probabilities(label, chance) for label, chance in pairs]

    def predict_rows(
        self, rows: Sequence[Row], probabilities: bool = False
    ) -> Sequence[bytes | InvalidInput]:
        """Answer rows from `decode_row` by one run on the event loop; at most `max_loop_batch`.

        A row that the classifier cannot take gets what `predict` would raise; the others are not
        affected.
        """
        runs = self._probability_runs if probabilities else self._runs
        if not runs:
            return self.predict_batch(rows, probabilities)
        bound = runs.get(len(rows))
        if bound is None:
            assert isinstance(self.classifier, OnnxClassifier)
            bound = runs[len(rows)] = self.classifier.bind(len(rows), probabilities=probabilities)
        bound.inputs[:] = rows
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
        replies = self.replies.single
        return [replies[label] for label in bound.labels.tolist()]

    def _with_probabilities(
        self, bound: BoundRun, rows: Sequence[Row]
    ) -> list[bytes | InvalidInput]:
        chances = bound.probabilities
        assert chances is not None
        answers: list[bytes | InvalidInput] = []
        for row, label, chance in zip(rows, bound.labels.tolist(), chances.tolist(), strict=True):
            if isfinite(sum(chance)):
                answers.append(self.replies.with_probabilities(label, chance))
            else:
                answers.append(self._by_itself(row, True))
        return answers

    def _by_itself(self, row: Row, probabilities: bool) -> bytes | InvalidInput:
        """Answer a row as `predict` would, after its batch failed."""
        try:
            return self._predict(np.array([row], np.float64), probabilities)[0]
        except InvalidInput as error:
            return error

    def predict(self, body: bytes, probabilities: bool = False) -> tuple[bytes, int]:
        """Answer a request, with probabilities if it or the caller asks for them.

        Return the reply and the number of its rows. Raises InvalidInput with every problem, or
        BodyTooLarge where there are too many rows.
        """
        matrix, asked = self.decoder.decode(body)
        return self._predict(matrix, asked or probabilities)

    def predict_at_once(self, body: bytes) -> tuple[bytes, int] | None:
        """Answer a request that may be answered on the event loop; None: use `predict`, elsewhere.

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

    def answer(self, question: Question[T]) -> tuple[T, int]:
        """Answer a request that was read; return the reply and the number of its rows.

        Raises InvalidInput for numbers that the classifier cannot take, or for probabilities that
        it does not have.
        """
        rows = len(question.matrix)
        start = self.classifier.clock()
        answers = self.classification.classify(question.matrix, question.probabilities)
        reply = question.write(*answers)
        if not self.classification.is_shared(rows):  # else the clock is that of a part
            self._learn(rows, self.classifier.clock() - start)
        return reply, rows
