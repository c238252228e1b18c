"""The forest as a service in the style of BentoML's guide; runs in BentoML's environment."""

import os
from typing import Annotated, Any

import bentoml
import joblib
import numpy as np
from bentoml.validators import DType, Shape

Rows = Annotated[np.ndarray, Shape((-1, 30)), DType("float64")]


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Forest:
    """Predicts rows; one of its routes gathers those of several requests."""

    def __init__(self) -> None:
        self._classifier: Any = joblib.load(os.environ["BENCH_MODEL"])

    @bentoml.api
    def predict(self, rows: Rows) -> np.ndarray:
        """Answer each request with a separate run."""
        labels: np.ndarray = self._classifier.predict(rows)
        return labels

    # In rows: the size of the largest measured request. The wait is BentoML's default.
    @bentoml.api(batchable=True, max_batch_size=1000)
    def batched(self, rows: Rows) -> np.ndarray:
        """Answer the waiting requests with one run (adaptive batching)."""
        labels: np.ndarray = self._classifier.predict(rows)
        return labels
