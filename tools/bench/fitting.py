"""Times scikit-learn's own fit in a separate process: reads class names, writes seconds.

It runs under the conditions of a training of the service: one thread, the lowest priority, and the
rows that are left when the test rows are held out.
"""

import os
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "LogisticRegression": {},
    "RandomForestClassifier": {"n_estimators": 100},
    "HistGradientBoostingClassifier": {},
}
"""What is fitted, with its parameters."""

_TYPES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (LogisticRegression, RandomForestClassifier, HistGradientBoostingClassifier)
}


def rows() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return 10,000 rows of 20 features."""
    X, y = make_classification(10_000, 20, n_informative=10, random_state=0)
    return X, y


def main() -> None:
    """Fit each class that is named in a line until the input ends."""
    os.nice(19)
    X, y = rows()
    X, _, y, _ = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    for line in sys.stdin:
        name = line.strip()
        classifier = _TYPES[name](**CLASSIFIERS[name], random_state=0)
        start = time.perf_counter()
        classifier.fit(X, y)
        sys.stdout.write(f"{time.perf_counter() - start}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
