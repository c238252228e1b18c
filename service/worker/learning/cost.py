"""What a training would cost in memory and time, estimated before it is tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from service.common.errors import Problem
from service.schema.train_request import TrainRequest
from service.worker.data.table import Table
from service.worker.learning.classifiers import ModelType
from service.worker.learning.search_request import spaces_of
from service.worker.learning.spaces import Choices, Space

MOST_WIDTH = 20_000
_USUAL_MEMORY = 4 * 2**30
_USUAL_SECONDS = 600.0
MOST_ROWS: Mapping[str, int] = {
    "GaussianProcessClassifier": 2_000,
    "LabelPropagation": 5_000,
    "LabelSpreading": 5_000,
    "NuSVC": 50_000,
    "SVC": 50_000,
}
"""Rows to train on, where time or memory grows with their square or cube."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one training may be: what can be known to be too much is refused before it is tried."""

    cells: int = 100_000_000
    """Rows times inputs."""
    work: float = 2e10
    """Rows times inputs times how often a fit passes over them, of all fits."""

    @classmethod
    def of(cls, seconds: float, memory_bytes: int) -> Self:
        """Return the bounds of a training with these limits: more than the usual ones for more.

        Less time or memory than usual may suffice, so they are not lowered for that.
        """
        usual = cls()
        return cls(
            int(usual.cells * max(1.0, memory_bytes / _USUAL_MEMORY)),
            usual.work * max(1.0, seconds / _USUAL_SECONDS),
        )


USUAL = Bounds()
"""Of a training with ten minutes and 4 GiB, or less."""


def check_cost(
    table: Table,
    features: tuple[str, ...],
    rows: int,
    classes: int,
    request: TrainRequest,
    kinds: Sequence[ModelType],
    at: str,
    bounds: Bounds,
) -> tuple[int, list[Problem]]:
    """Return the number of inputs, and why a training would take more than any may.

    A search of lists is taken for all of its fits. One of a space ends by itself in time: it is
    taken for one trial, by the largest parameters that it may draw.
    """
    width = sum(
        len(set(table.columns[name].values) - {None}) if table.columns[name].type == "text" else 1
        for name in features
    )
    problems: list[Problem] = []
    for kind in kinds:
        most = MOST_ROWS.get(kind.name)
        if most is not None and rows > most:
            message = f"{kind.name} takes {most:,} rows to train on, and there are {rows:,}"
            problems.append(Problem(at, message))
    if width > MOST_WIDTH:
        message = f"the columns and categories make {width:,} inputs; there may be {MOST_WIDTH:,}"
        problems.append(Problem(at, message))
    else:
        problems += too_many_cells(table.rows, width, at, bounds)
    search, folds = request.search, request.search_folds
    fold_rows = rows - -(-rows // request.folds) if request.folds else rows
    spaces: Mapping[str, Space] = {}
    if search is not None and not search.is_list:
        spaces = spaces_of(request, fold_rows, width)
    fits = 1 + (request.cv or 0) + int(request.refit)
    if search is not None:
        fits += search.candidates * folds if search.is_list else folds
    for kind in kinds:
        largest = _Largest(request, spaces.get(kind.name, {}))
        work = _work(kind, largest, classes) * rows * width * fits
        if work > bounds.work:
            message = (
                f"{fits:,} fits of {kind.name} on {rows:,} rows and {width:,} inputs with these "
                f"parameters are about {work / bounds.work:,.1f} times what one training may take"
            )
            cause = "/search" if search else "/params" if request.params else "/model_type"
            problems.append(Problem(cause, message))
        if largest.of("n_neighbors", 0) > fold_rows:
            pointer = _pointer_to("n_neighbors", kind, request)
            message = f"'n_neighbors' must be at most the number of rows to train on, {rows:,}"
            problems.append(Problem(pointer, message))
    return width, problems


def too_many_cells(rows: int, width: int, at: str, bounds: Bounds) -> list[Problem]:
    """Return the problem of a table that has more values than a training may have, if it does."""
    if width * rows <= bounds.cells:
        return []
    message = (
        f"{rows:,} rows of {width:,} columns and categories are {width * rows:,} values; there may "
        f"be {bounds.cells:,}"
    )
    return [Problem(at, message)]


def _pointer_to(name: str, kind: ModelType, request: TrainRequest) -> str:
    search = request.search
    if search is None or name in request.params:
        return f"/params/{name}"
    if search.is_list:
        return f"/search/params/{name}"
    if search.model_types is None:
        return f"/search/space/{name}"
    return f"/search/model_types/{kind.name}/{name}"


def _work(kind: ModelType, largest: "_Largest", classes: int) -> float:
    """Estimate how often a fit passes over the data."""
    if "n_estimators" in kind.params:
        trees = largest.of("n_estimators", kind.params["n_estimators"].default)
        return trees * (classes if kind.name == "GradientBoostingClassifier" else 1)
    if kind.name == "HistGradientBoostingClassifier":
        return largest.of("max_iter", 100) * classes / 10
    if kind.name == "MLPClassifier":
        return largest.units() * largest.of("max_iter", 200) / 100
    return 1.0


@dataclass(frozen=True, slots=True)
class _Largest:
    """The largest numbers that a classifier may get, from the request or its search."""

    request: TrainRequest
    space: Space

    def of(self, name: str, default: float) -> float:
        """Return the largest value of a parameter."""
        if name in self.space:
            return self.space[name].largest
        listed = self._listed(name)
        values = [value for value in listed if isinstance(value, int)]
        return float(max([*values, self.request.params.get(name, default)]))

    def units(self) -> float:
        """Return the most units of a neural network."""
        name = "hidden_layer_sizes"
        drawn = self.space.get(name)
        sizes = [*self._listed(name), *(drawn.values if isinstance(drawn, Choices) else ())]
        return float(max(map(sum, sizes or [self.request.params.get(name, [100])])))

    def _listed(self, name: str) -> Sequence[Any]:
        search = self.request.search
        return (search.params or {}).get(name, []) if search is not None else []
