"""The forest that every server serves: 100 trees, by default on 30 named numbers."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier

from tools.bench.client import BenchFailed, Client

TREES = 100
SEED = 0


@dataclass(frozen=True)
class Forest:
    """The rows, and scikit-learn's own forest fitted on them."""

    names: list[str]
    X: NDArray[np.float64]
    y: NDArray[Any]
    data_set: str = "breast_cancer"

    @cached_property
    def classifier(self) -> Any:
        """The fitted forest, made as in scikit-learn's manual."""
        return RandomForestClassifier(TREES, random_state=SEED).fit(self.X, self.y)

    def rows(self, count: int) -> NDArray[np.float64]:
        """Return this many distinct rows: repeated ones would help branch prediction too much."""
        X = np.resize(self.X, (count, self.X.shape[1]))
        return np.round(X * np.random.default_rng(0).uniform(0.99, 1.01, X.shape), 5)

    def named(self, rows: NDArray[np.float64]) -> list[dict[str, float]]:
        """Return rows as JSON objects."""
        return [dict(zip(self.names, row, strict=True)) for row in rows.tolist()]


def load(data_set: str = "breast_cancer") -> Forest:
    """Load the rows of this data set, or of iris, with words as labels."""
    data = {"breast_cancer": load_breast_cancer, "iris": load_iris}[data_set]()
    names = [str(name) for name in data.feature_names]
    return Forest(names, data.data, load_words(data), data_set)


def load_words(data: Any) -> NDArray[Any]:
    """Return the labels as words."""
    words: NDArray[Any] = np.asarray(data.target_names, dtype=object)[data.target]
    return words


def order(forest: Forest, seed: int, use: bool) -> dict[str, object]:
    """Return the request for a training of the forest with this seed, on all rows."""
    return {
        "name": "forest",
        "dataset": forest.data_set,
        "model_type": "RandomForestClassifier",
        "params": {"n_estimators": TREES},
        "seed": seed,
        "refit": True,  # fitted on all rows, as the one it is compared with
        "use": use,
        "wait": 120,
    }


def train(client: Client, forest: Forest) -> None:
    """Train the same forest through the API, put it in use, and compare labels with scikit-learn.

    Raises BenchFailed if a row gets another label.
    """
    training = client.ask("POST", "/train", order(forest, SEED, use=True))
    if not training.get("used"):
        raise BenchFailed(f"The forest was not put in use: {training}")
    body = json.dumps({"instances": forest.named(forest.X)}).encode()
    answered = json.loads(client.send("POST", "/predict", body))["predictions"]
    different = int((np.array(answered, dtype=object) != forest.classifier.predict(forest.X)).sum())
    if different:
        raise BenchFailed(f"{different} of {len(forest.X)} rows get another label than sklearn's.")
