"""What a training would cost in memory and time, estimated before it is tried."""

from collections.abc import Mapping

from service.common.errors import Problem
from service.schema.train_request import TrainRequest
from service.worker.data.table import Table
from service.worker.learning.classifiers import ModelType

MOST_WIDTH = 20_000
MOST_CELLS = 100_000_000
MOST_WORK = 2e10
MOST_ROWS: Mapping[str, int] = {
    "GaussianProcessClassifier": 2_000,
    "LabelPropagation": 5_000,
    "LabelSpreading": 5_000,
    "NuSVC": 50_000,
    "SVC": 50_000,
}
"""Rows to train on, where time or memory grows with their square or cube."""


def check_cost(
    table: Table,
    features: tuple[str, ...],
    rows: int,
    classes: int,
    request: TrainRequest,
    kind: ModelType,
    at: str,
) -> list[Problem]:
    """Return why a training would take more time or memory than any may."""
    width = sum(
        len(set(table.columns[name].values) - {None}) if table.columns[name].type == "text" else 1
        for name in features
    )
    problems: list[Problem] = []
    most = MOST_ROWS.get(kind.name)
    if most is not None and rows > most:
        message = f"{kind.name} takes {most:,} rows to train on, and there are {rows:,}"
        problems.append(Problem(at, message))
    if width > MOST_WIDTH:
        message = f"the columns and categories make {width:,} inputs; there may be {MOST_WIDTH:,}"
        problems.append(Problem(at, message))
    elif width * table.rows > MOST_CELLS:
        message = (
            f"{table.rows:,} rows of {width:,} columns and categories are {width * table.rows:,} "
            f"values; there may be {MOST_CELLS:,}"
        )
        problems.append(Problem(at, message))
    fits = 1 + (request.cv or 0) + int(request.refit)
    fits += request.search.candidates * request.folds if request.search else 0
    work = _work(kind, request, classes) * rows * width * fits
    if work > MOST_WORK:
        message = (
            f"{fits:,} fits of {kind.name} on {rows:,} rows and {width:,} inputs with these "
            f"parameters are about {work / MOST_WORK:,.1f} times what one training may take"
        )
        cause = "/search" if request.search else "/params" if request.params else "/model_type"
        problems.append(Problem(cause, message))
    neighbours = _largest(request, "n_neighbors", 0)
    if neighbours > rows * (1 - 1 / request.folds if request.folds else 1):
        searched = request.search is not None and "n_neighbors" in request.search.params
        pointer = f"{'/search' if searched else ''}/params/n_neighbors"
        message = f"'n_neighbors' must be at most the number of rows to train on, {rows:,}"
        problems.append(Problem(pointer, message))
    return problems


def _work(kind: ModelType, request: TrainRequest, classes: int) -> float:
    """Estimate how often a fit passes over the data."""
    if "n_estimators" in kind.params:
        trees = _largest(request, "n_estimators", kind.params["n_estimators"].default)
        return trees * (classes if kind.name == "GradientBoostingClassifier" else 1)
    if kind.name == "HistGradientBoostingClassifier":
        return _largest(request, "max_iter", 100) * classes / 10
    if kind.name == "MLPClassifier":
        units = request.params.get("hidden_layer_sizes", [100])
        return float(sum(units)) * _largest(request, "max_iter", 200) / 100
    return 1.0


def _largest(request: TrainRequest, name: str, default: float) -> float:
    searched = request.search.params.get(name, []) if request.search else []
    values = [value for value in searched if isinstance(value, int)]
    return float(max([*values, request.params.get(name, default)]))
