"""Fits the forest in a peer's environment and saves it in the peer's format.

`python -m tools.bench.peers.saving {joblib,mlflow} PATH`
"""

import sys
from pathlib import Path

from tools.bench.forest import Forest, load


def _joblib(forest: Forest, path: Path) -> None:
    import joblib

    joblib.dump(forest.classifier, path)


def _mlflow(forest: Forest, path: Path) -> None:
    """Save with an input example, from which MLflow infers the signature that it then enforces."""
    import mlflow.sklearn
    import pandas as pd

    frame = pd.DataFrame(forest.X, columns=forest.names)
    mlflow.sklearn.save_model(
        forest.classifier.fit(frame, forest.y),
        path,
        # MLflow's default format refuses the trees of a forest.
        serialization_format="cloudpickle",
        input_example=frame[:1],
        pip_requirements=[],  # it is served in the environment in which it is saved
    )


if __name__ == "__main__":
    {"joblib": _joblib, "mlflow": _mlflow}[sys.argv[1]](load(), Path(sys.argv[2]))
