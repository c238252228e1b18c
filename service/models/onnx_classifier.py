"""A graph in ONNX Runtime as a classifier."""

from collections.abc import Callable, Sequence
from functools import partial
from time import thread_time
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.common.errors import clip
from service.models.allowlist import LARGEST_ARTIFACT, inspect_onnx
from service.models.classifier import Classifier, Floats, Labels

_REALS: dict[str, type[np.floating[Any]]]
_REALS = {"tensor(double)": np.float64, "tensor(float)": np.float32}


ROUNDING = 1e-3
"""How far outside of 0 to 1 a probability of a graph of others may be: sums of float32."""


class BoundRun:
    """A run of a fixed number of rows on preallocated arrays.

    Fill `inputs` [rows, features], call `run()`, read `labels` [rows] and, if they were asked
    for, `probabilities` [rows, K]. Not for two threads at once.
    """

    __slots__ = ("_keep", "inputs", "labels", "probabilities", "run")

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        inputs: tuple[str, NDArray[Any]],
        labels: tuple[str, Labels],
        probabilities: tuple[str, NDArray[Any]] | None,
    ) -> None:
        binding = session.io_binding()
        name, self.inputs = inputs
        array = self.inputs
        binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self.labels = labels[1]
        self.probabilities = None if probabilities is None else probabilities[1]
        for name, array in (labels, probabilities) if probabilities else (labels,):
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._keep = (session, binding)
        # Past the two Python wrappers, which take one of the eight microseconds.
        self.run: Callable[[], None] = partial(
            session._sess.run_with_iobinding, binding._iobinding, None
        )


class OnnxClassifier:
    """A graph in ONNX Runtime, on the CPU and on the calling thread.

    It must have one input [N, features], float64 or float32, and as its first output the label
    of each row; the first output [N, K] of floats after it is the probabilities. The label is an
    index into the classes or, where `classes` are given, the class itself.

    `data` is not looked at here: `load_onnx` does that.
    """

    in_other_process = False
    ready = True
    clock = staticmethod(thread_time)

    def __init__(self, data: bytes, classes: Sequence[object] | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has an error class for each of its status codes.
            raise ValueError(f"ONNX Runtime does not load the graph: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if reason := _unreadable(inputs):
            raise ValueError(f"{reason}; a graph must read one matrix of floats or doubles")
        if not outputs or outputs[0].type not in ("tensor(int64)", "tensor(string)"):
            raise ValueError("the graph's first output must be the labels")
        if classes is None and outputs[0].type == "tensor(string)":
            raise ValueError("the graph answers in words, and the classes are not known")
        self._input, self._real = inputs[0].name, _REALS[inputs[0].type]
        self.features: int | None = _known(inputs[0].shape[1])
        self._label = outputs[0].name
        self._probabilities: str | None = None
        self._classes: int | None = None
        self._probability_real: type[np.floating[Any]] = np.float64
        for output in outputs[1:]:
            if output.type in _REALS and len(output.shape) == 2:
                self._probabilities, self._classes = output.name, _known(output.shape[1])
                self._probability_real = _REALS[output.type]
                break
        self._index = None if classes is None else {c: i for i, c in enumerate(classes)}
        self.classes = len(classes) if classes is not None else self._classes

    @property
    def may_label_nan(self) -> bool:
        """Whether a label may come from NaN: float32 overflows long before float64 does."""
        return self._real is np.float32 and self._probabilities is not None

    @property
    def has_probabilities(self) -> bool:
        """Whether the graph gives probabilities."""
        return self._probabilities is not None

    def labels(self, X: Floats) -> Labels:
        """Return the index of the class of each row: [N]; ValueError where the graph fails."""
        (labels,) = self._run([self._label], X)
        return self._indexes(labels)

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Return the indexes [N] and the probabilities [N, K]; ValueError where there are none."""
        if self._probabilities is None:
            raise ValueError("this graph gives no probabilities")
        labels, probabilities = self._run([self._label, self._probabilities], X)
        found: Floats = probabilities.astype(np.float64, copy=False)
        return self._indexes(labels), found if self._index is None else _within(found)

    def scores(self, X: Floats) -> NDArray[Any]:
        """Return what stands where probabilities are expected, as the graph gives it."""
        if self._probabilities is None:
            raise ValueError("this graph gives no probabilities")
        (scores,) = self._run([self._probabilities], X)
        return scores

    def bind(self, rows: int, *, probabilities: bool = False) -> BoundRun:
        """Return a run of exactly `rows` rows on its own arrays.

        Raises ValueError for a graph whose labels are not indexes, whose widths are not fixed, or
        that has no probabilities where they are asked for.
        """
        if self._index is not None or self.features is None:
            raise ValueError("only a graph of fixed width that answers with indexes can be bound")
        wanted = None
        if probabilities:
            if self._probabilities is None or self._classes is None:
                raise ValueError("this graph gives no probabilities of a fixed width")
            shape = (rows, self._classes)
            wanted = (self._probabilities, np.zeros(shape, self._probability_real))
        return BoundRun(
            self._session,
            (self._input, np.zeros((rows, self.features), self._real)),
            (self._label, np.zeros(rows, np.int64)),
            wanted,
        )

    def _run(self, names: list[str], X: Floats) -> Sequence[NDArray[Any]]:
        matrix = X if X.dtype == self._real else X.astype(self._real)
        try:
            outputs: Sequence[NDArray[Any]] = self._session.run(names, {self._input: matrix})
        except Exception as error:  # ONNX Runtime has an error class for each of its status codes.
            raise ValueError("the graph fails on these numbers") from error
        return outputs

    def _indexes(self, labels: NDArray[Any]) -> Labels:
        if self._index is None:
            found: Labels = labels
            return found
        try:
            return np.array([self._index[label] for label in labels.ravel().tolist()], np.int64)
        except KeyError as error:
            raise ValueError(f"the graph answers {error}, which is none of the classes") from error


def load_onnx(
    data: bytes, classes: Sequence[object] | None = None, limit: int = LARGEST_ARTIFACT
) -> OnnxClassifier:
    """Load a graph that is made of allowed operators only.

    `limit` is in bytes. Raises UntrustedArtifact for anything that is not allowed, and ValueError
    for a graph that cannot answer.
    """
    inspect_onnx(data, limit)
    return OnnxClassifier(data, classes)


def _unreadable(inputs: Sequence[Any]) -> str:
    """Return why rows cannot be given to a graph with these inputs; empty where they can."""
    if len(inputs) != 1:
        names = ", ".join(repr(clip(one.name)) for one in inputs[:5])
        return f"it has {len(inputs)} inputs, {names}" if inputs else "it has no input"
    (given,) = inputs
    if given.type not in _REALS:
        return f"its input {clip(given.name)!r} is {given.type}"
    dimensions = len(given.shape)
    return "" if dimensions == 2 else f"its input {clip(given.name)!r} has {dimensions} dimensions"


def _within(probabilities: Floats) -> Floats:
    """Correct what float32 rounds beyond 0 and 1; raises ValueError for other numbers."""
    within: Floats = np.clip(probabilities, 0.0, 1.0)
    if (np.abs(probabilities - within) > ROUNDING).any():
        raise ValueError("the graph gives a number outside of 0 to 1, which is no probability")
    return within


def _known(size: object) -> int | None:
    return size if isinstance(size, int) else None


def bound_runs(classifier: Classifier, *, probabilities: bool) -> dict[int, BoundRun]:
    """Return a run of one row on its own buffers, where the classifier has such runs."""
    if not isinstance(classifier, OnnxClassifier) or classifier.may_label_nan:
        return {}
    try:
        return {1: classifier.bind(1, probabilities=probabilities)}
    except ValueError:  # a foreign graph that answers with words, or of no fixed width
        return {}
