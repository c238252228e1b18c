"""A table of the agreement of graphs with pipelines: `python -m tools.bench.parity --rows 5000`."""

import argparse
import statistics
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from service.models.classifier import Classifier
from service.models.onnx_classifier import load_onnx
from service.worker.onnx_export.builder import NotConvertible
from service.worker.onnx_export.convert import convert
from service.worker.onnx_export.parity import Parity, check
from service.worker.sklearn_models.array_preprocessing import Preparation
from service.worker.sklearn_models.classifier import NativeClassifier
from tests.support.pipelines import DATA_SETS, DataSet, fit, hard_rows, matrix
from tests.support.zoo import Entry, convertible, native


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table."""

    data: str
    name: str
    route: str
    parity: Parity
    microseconds: float

    def __str__(self) -> str:
        parity = self.parity
        what = f"{self.data:14}{self.name:48}{self.route:8}"
        found = f"{parity.rows:>8,}{parity.differing:>8}{parity.on_boundary:>9}"
        return f"{what}{found}{parity.largest_difference:>10.1e}{self.microseconds:>11.1f}\n"


def measure(data: DataSet, name: str, entry: Entry, count: int) -> Line:
    """Fit, convert, compare `count` rows, and time one row."""
    pipeline = fit(data, entry.classifier, scale=entry.scale, impute=entry.impute)
    rows = hard_rows(data, pipeline, count)
    X = matrix(pipeline, rows)
    served: Classifier
    try:
        model = convert(pipeline, data.names)
    except NotConvertible:
        served = NativeClassifier(pipeline, Preparation.from_pipeline(pipeline, data.names))
        return Line(
            data.name, name, "native", _compare(served, pipeline, rows, X), _time(served, X)
        )
    graph = load_onnx(model)
    bound = graph.bind(1)
    bound.inputs[:] = X[:1]
    return Line(data.name, name, "onnx", check(model, pipeline, rows, X), _median(bound.run))


def _compare(served: Classifier, pipeline: Pipeline, rows: Any, X: Any) -> Parity:
    predicted = pipeline.predict(rows)
    classes = pipeline["classify"].classes_
    largest = 0.0
    if served.has_probabilities:
        labels, chances = served.labels_and_probabilities(X)
        away = np.abs(chances - pipeline.predict_proba(rows))
        largest = 0.0 if np.isnan(away).all() else float(np.nanmax(away))
    else:
        labels = served.labels(X)
    return Parity(len(X), int((classes[labels] != predicted).sum()), 0, largest, False)


def _time(served: Classifier, X: Any) -> float:
    row = X[:1]
    return _median(lambda: served.labels(row), 20)


def _median(run: Any, times: int = 500) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def main() -> None:
    """Print the table; return 1 if a graph does not agree with its pipeline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="rows compared by line")
    parser.add_argument("--only", default="", help="a part of the classifier's name")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    write = sys.stdout.write
    write(f"{'data':14}{'classifier':48}{'route':8}{'rows':>8}{'differ':>8}{'boundary':>9}")
    write(f"{'prob.':>10}{'us, 1 row':>11}\n")
    agrees, total = True, 0
    for make in DATA_SETS:
        data = make()
        for name, entry in {**convertible(), **native()}.items():
            if asked.only not in name or (entry.two_classes and len(np.unique(data.y)) > 2):
                continue
            line = measure(data, name, entry, asked.rows)
            write(str(line))
            sys.stdout.flush()
            if line.route == "onnx":
                agrees &= line.parity.agrees
                total += line.parity.rows
    write(f"{total:,} rows by graphs; {'all agree' if agrees else 'NOT ALL AGREE'}\n")
    sys.exit(not agrees)


if __name__ == "__main__":
    main()
