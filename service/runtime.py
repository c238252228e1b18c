"""The classifiers that answer: a graph in ONNX Runtime, or a fitted scikit-learn classifier.

Its rule: nothing is unpickled, and `service.trust` looks at a file before anything is built of it.
A process that serves only graphs never imports scikit-learn.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from service.trust import LARGEST_ARTIFACT, UntrustedArtifact, inspect_onnx, load_skops

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from service.preparation import Preparation

__all__ = [
    "BoundRun",
    "Classifier",
    "NativeClassifier",
    "OnnxClassifier",
    "UntrustedArtifact",
    "load_native",
    "load_onnx",
    "replay",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

TOLERANCE = 1e-6
"""How far a probability may be from the one that was recorded."""

_REALS: dict[str, type[np.floating[Any]]]
_REALS = {"tensor(double)": np.float64, "tensor(float)": np.float32}

# What overflows or has no value comes out as an infinity or NaN, which the caller looks for.
_QUIETLY = partial(np.errstate, all="ignore")


class Classifier(Protocol):
    """What answers: matrices as `service.schema` describes them in, indexes into classes out."""

    @property
    def route(self) -> Literal["onnx", "native"]:
        """How it is computed."""

    @property
    def has_probabilities(self) -> bool:
        """Whether `labels_and_probabilities` may be called."""

    def labels(self, X: Floats) -> Labels:
        """Give the index of the class of each row: [N]."""

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Give the indexes [N] and the probabilities [N, K]."""


class BoundRun:
    """A run of a fixed number of rows on arrays that stay where they are.

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
        # Through the two wrappers' insides: the wrappers take a microsecond of the eight.
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

    route: Literal["onnx"] = "onnx"

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
        if len(inputs) != 1 or inputs[0].type not in _REALS or len(inputs[0].shape) != 2:
            raise ValueError("the graph must read one matrix of numbers")
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

    @property
    def has_probabilities(self) -> bool:
        """Whether the graph gives probabilities."""
        return self._probabilities is not None

    def labels(self, X: Floats) -> Labels:
        """Give the index of the class of each row: [N]."""
        (labels,) = self._session.run([self._label], {self._input: self._matrix(X)})
        return self._indexes(labels)

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Give the indexes [N] and the probabilities [N, K]; ValueError where there are none."""
        if self._probabilities is None:
            raise ValueError("this graph gives no probabilities")
        names = [self._label, self._probabilities]
        labels, probabilities = self._session.run(names, {self._input: self._matrix(X)})
        return self._indexes(labels), probabilities.astype(np.float64, copy=False)

    def bind(self, rows: int, *, probabilities: bool = False) -> BoundRun:
        """Prepare runs of exactly `rows` rows on arrays of their own.

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

    def _matrix(self, X: Floats) -> NDArray[Any]:
        return X if X.dtype == self._real else X.astype(self._real)

    def _indexes(self, labels: NDArray[Any]) -> Labels:
        if self._index is None:
            found: Labels = labels
            return found
        try:
            return np.array([self._index[label] for label in labels.ravel().tolist()], np.int64)
        except KeyError as error:
            raise ValueError(f"the graph answers {error}, which is none of the classes") from error


class NativeClassifier:
    """A fitted scikit-learn classifier behind its preprocessing.

    It works on the calling thread, and on a copy: the pipeline keeps its names and `n_jobs`.
    """

    route: Literal["native"] = "native"

    def __init__(self, pipeline: "Pipeline", preparation: "Preparation") -> None:
        from service.nested import forget_names, predicts_most_probable, use_one_job

        self._prepare = preparation.apply
        self._classifier = copy.deepcopy(pipeline["classify"])
        use_one_job(self._classifier)
        forget_names(self._classifier)
        self._classes: NDArray[Any] = np.asarray(self._classifier.classes_)
        self._most_probable = predicts_most_probable(self._classifier)

    @property
    def has_probabilities(self) -> bool:
        """Whether the classifier has `predict_proba`."""
        return hasattr(self._classifier, "predict_proba")

    def labels(self, X: Floats) -> Labels:
        """Give the index of the class of each row: [N]."""
        with _QUIETLY():
            return self._indexes(self._classifier.predict(self._prepared(X)))

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Give the indexes [N] and the probabilities [N, K]; ValueError where there are none."""
        if not self.has_probabilities:
            raise ValueError("this classifier gives no probabilities")
        with _QUIETLY():
            prepared = self._prepared(X)
            probabilities: Floats = self._classifier.predict_proba(prepared)
            if self._most_probable:
                return probabilities.argmax(axis=1), probabilities
            return self._indexes(self._classifier.predict(prepared)), probabilities

    def _prepared(self, X: Floats) -> Floats:
        # As a ColumnTransformer's numbers lie in memory: the order in which products add up.
        return np.asfortranarray(self._prepare(X))

    def _indexes(self, predicted: NDArray[Any]) -> Labels:
        found = np.searchsorted(self._classes, predicted).astype(np.int64, copy=False)
        # What comes out of `predict` is in the sorted `classes_`, but for an outlier's own label.
        if not (self._classes.take(found, mode="clip") == predicted).all():
            raise ValueError("the classifier answers with something that is none of its classes")
        return found


def load_onnx(
    data: bytes, classes: Sequence[object] | None = None, limit: int = LARGEST_ARTIFACT
) -> OnnxClassifier:
    """Load a graph that is made of allowed operators only.

    `limit` is in bytes. Raises UntrustedArtifact for anything that is not allowed, and ValueError
    for a graph that cannot answer.
    """
    inspect_onnx(data, limit)
    return OnnxClassifier(data, classes)


def load_native(
    data: bytes, names: Sequence[str], limit: int = LARGEST_ARTIFACT
) -> NativeClassifier:
    """Load a pipeline from a skops file of trusted types only; `names` are the schema's features.

    `limit` is in bytes, unpacked. Raises UntrustedArtifact for anything that is not allowed, and
    ValueError for a pipeline of another shape.
    """
    from sklearn.pipeline import Pipeline

    from service.preparation import Preparation

    pipeline = load_skops(data, limit)
    if type(pipeline) is not Pipeline:
        raise UntrustedArtifact(f"the file holds a {type(pipeline).__name__}, not a pipeline")
    return NativeClassifier(pipeline, Preparation.of(pipeline, names))


def replay(classifier: Classifier, X: Floats, labels: Labels, probabilities: Floats | None) -> None:
    """Check that `classifier` answers for the golden rows `X` what was recorded in training.

    Raises ValueError with a sentence where a label differs, or a probability by more than 1e-6.
    """
    if probabilities is None:
        found = classifier.labels(X)
    else:
        if not classifier.has_probabilities:
            raise ValueError("Probabilities were recorded, and this classifier gives none.")
        found, chances = classifier.labels_and_probabilities(X)
        if chances.shape != probabilities.shape:
            raise ValueError("The probabilities are for another number of classes.")
    differing = int(np.count_nonzero(found != labels))
    if differing:
        raise ValueError(
            f"{differing} of {len(labels)} golden rows get another label here than in training."
        )
    if probabilities is not None:
        away = np.abs(chances - probabilities)
        # Written so that NaN does not pass.
        if not (away <= TOLERANCE).all():
            raise ValueError(
                f"The golden rows' probabilities differ by up to {away.max():.3g} from training's."
            )


def _known(size: object) -> int | None:
    return size if isinstance(size, int) else None
