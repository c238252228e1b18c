"""A fitted scikit-learn classifier that answers itself.

It imports scikit-learn, so that no module of the serving process imports this one: there a
`service.processes.remote_classifier.RemoteClassifier` stands for it.
"""

import copy
from collections.abc import Sequence
from functools import partial
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from service.common.errors import UntrustedArtifact
from service.models.allowlist import LARGEST_ARTIFACT
from service.models.classifier import Floats, Labels
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.estimator_walk import (
    forget_names,
    predicts_most_probable,
    use_one_job,
)
from service.worker.sklearn_models.skops_file import load_skops

_DOUBTFUL = frozenset({"LabelPropagation", "LabelSpreading"})
"""Far from all training rows their probabilities are 0/0, and `predict` names the first class."""

# Overflows and undefined values come out as infinity or NaN, which the caller checks.
_QUIETLY = partial(np.errstate, all="ignore")


class NativeClassifier:
    """A fitted scikit-learn classifier behind its preprocessing.

    It works on the calling thread, and on a copy: the pipeline keeps its names and `n_jobs`.
    """

    in_other_process = False
    ready = True
    clock = staticmethod(thread_time)

    def __init__(self, pipeline: Pipeline, preparation: Preparation) -> None:
        self._prepare = preparation.apply
        self.classifier = copy.deepcopy(pipeline["classify"])
        use_one_job(self.classifier)
        forget_names(self.classifier)
        self.classes: NDArray[Any] = np.asarray(self.classifier.classes_)
        self._most_probable = predicts_most_probable(self.classifier)
        self.may_label_nan = type(self.classifier).__name__ in _DOUBTFUL
        # OpenMP and BLAS would start a thread a core, and one process serves on one.
        threadpool_limits(1)

    @property
    def has_probabilities(self) -> bool:
        """Whether the classifier has `predict_proba`."""
        return hasattr(self.classifier, "predict_proba")

    def labels(self, X: Floats) -> Labels:
        """Return the index of the class of each row: [N]."""
        if self._most_probable:
            return self.labels_and_probabilities(X)[0]
        with _QUIETLY():
            return self._indexes(self.classifier.predict(self._prepared(X)))

    def labels_and_probabilities(self, X: Floats) -> tuple[Labels, Floats]:
        """Return the indexes [N] and the probabilities [N, K]; ValueError where there are none."""
        if not self.has_probabilities:
            raise ValueError("this classifier gives no probabilities")
        with _QUIETLY():
            prepared = self._prepared(X)
            probabilities: Floats = self.classifier.predict_proba(prepared)
            if self._most_probable:
                return probabilities.argmax(axis=1), probabilities
            return self._indexes(self.classifier.predict(prepared)), probabilities

    def _prepared(self, X: Floats) -> Floats:
        # As a ColumnTransformer's numbers lie in memory: the order in which products add up.
        return np.asfortranarray(self._prepare(X))

    def _indexes(self, predicted: NDArray[Any]) -> Labels:
        found = np.searchsorted(self.classes, predicted).astype(np.int64, copy=False)
        # What comes out of `predict` is in the sorted `classes_`, but for an outlier's own label.
        if not (self.classes.take(found, mode="clip") == predicted).all():
            raise ValueError("the classifier answers with something that is none of its classes")
        return found


def load_native(
    data: bytes, names: Sequence[str], limit: int = LARGEST_ARTIFACT
) -> NativeClassifier:
    """Load a pipeline from a skops file of trusted types only; `names` are the schema's features.

    `limit` is in bytes, unpacked. Raises UntrustedArtifact for anything that is not allowed, and
    ValueError for a pipeline of another shape.
    """
    pipeline = load_skops(data, limit)
    if type(pipeline) is not Pipeline:
        raise UntrustedArtifact(f"the file holds a {type(pipeline).__name__}, not a pipeline")
    return NativeClassifier(pipeline, Preparation.from_pipeline(pipeline, names))
