"""A training before the fit: everything that can be known of it, or every reason not to try."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.common.did_you_mean import did_you_mean
from service.common.domain import Label, Note, spelling
from service.common.errors import Problem, UnusableData, clip, escape, quoted
from service.schema.train_request import TrainRequest
from service.worker.data.table import Table
from service.worker.learning import classifiers, column_checks
from service.worker.learning.classifiers import ModelType
from service.worker.learning.cost import USUAL, Bounds, check_cost
from service.worker.learning.request import MAX_PROBLEMS

_FLOAT32 = frozenset(
    {
        *("AdaBoostClassifier", "BaggingClassifier", "DecisionTreeClassifier"),
        *("ExtraTreeClassifier", "ExtraTreesClassifier", "GradientBoostingClassifier"),
        "RandomForestClassifier",
    }
)
_SCALED = (
    "has values that differ by less than the trees of scikit-learn can tell (1e-7), so they are "
    "multiplied by a power of two first"
)
_LARGEST_FLOAT32 = 3.4e38
_LARGEST = 1e150
"""The square of what is larger is not a finite float64, so there is no variance to scale by."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A training that can be tried: the request, its data, and which rows are held out."""

    request: TrainRequest
    kind: ModelType
    table: Table
    features: tuple[str, ...]
    target: str
    classes: tuple[Label, ...]
    codes: NDArray[np.int64]
    """The class of each row, an index into `classes`."""
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    class_weight: Any
    folds: int
    """Folds into which the classifier may split its training rows once more."""
    width: int = 0
    """Inputs that preprocessing makes of the features."""
    notes: tuple[Note, ...] = ()
    """What was decided about the rows that their owner may want to know."""
    nearly_constant: frozenset[str] = frozenset()
    """Features whose values differ by less than trees can tell."""

    @property
    def tiny(self) -> frozenset[str]:
        """The features that are scaled first, because the classifier is made of trees."""
        return self.nearly_constant if self.kind.name in _FLOAT32 else frozenset()

    @property
    def fold_rows(self) -> int:
        """The fewest rows that a trial of a search is fitted on."""
        folds = self.request.search_folds
        return len(self.train) - -(-len(self.train) // folds) if folds else len(self.train)

    def of(self, model_type: str, params: Mapping[str, Any]) -> "Plan":
        """Return the plan of one classifier of a search, without the search."""
        changes = {"model_type": model_type, "params": dict(params), "search": None}
        return replace(
            self,
            request=self.request.model_copy(update=changes),
            kind=classifiers.model_type(model_type),
        )

    @property
    def y(self) -> NDArray[Any]:
        """The labels of all rows, as scikit-learn is fitted on them."""
        return column_checks.targets(self.classes, self.codes)


def plan(table: Table, request: TrainRequest, at: str = "/dataset", bounds: Bounds = USUAL) -> Plan:
    """Find everything that can be known before fitting; `at` is the pointer of the data set.

    The request has its target, and a model type or a search of some. Raises UnusableData with all
    problems, at most 20.
    """
    kinds = [classifiers.model_type(name) for name in request.type_names]
    target = request.target or ""
    features = tuple(name for name in table.columns if name != target)
    problems: list[Problem] = []
    classes: tuple[Label, ...] = ()
    codes = np.empty(0, np.int64)
    if target in table.columns:
        column = table.columns[target]
        classes, codes, found = column_checks.classes_of(target, column, table.missing_texts)
        problems += found
    else:
        problems.append(no_target(target, list(table.columns), table.excluded))
    problems += _features(table, features, request, kinds, at)
    class_weight, found = _class_weight(request.class_weight, classes)
    problems += found
    if problems:
        raise unusable(problems)
    train, test = _split(codes, classes, request)
    folds = _folds(codes[train], classes, request, kinds)
    width, problems = check_cost(
        table, features, len(train), len(classes), request, kinds, at, bounds
    )
    if problems:
        raise unusable(problems)
    _check_training_part(table, features, train, at)
    tiny = _tiny(table, features, kinds) if request.preprocessing == "auto" else frozenset()
    notes = [
        *column_checks.marker_notes(table, target),
        *column_checks.label_notes(target, classes),
        *_held_out_categories(table, features, train),
        *(Note(name, _SCALED) for name in features if name in tiny),
    ]
    return Plan(
        request=request,
        kind=kinds[0],
        table=table,
        features=features,
        target=target,
        classes=classes,
        codes=codes,
        train=train,
        test=test,
        class_weight=class_weight,
        folds=folds,
        width=width,
        notes=tuple(notes),
        nearly_constant=tiny,
    )


def no_target(target: str, columns: Sequence[str], excluded: Collection[str]) -> Problem:
    """Say why a target is not among the columns that are read."""
    if target in excluded:
        return Problem("/exclude", f"holds the target, {quoted(target)}")
    hint = did_you_mean(target, columns) or f"; there are: {_names(columns)}"
    return Problem("/target", f"there is no column {clip(target)!r} in the data set{hint}")


def unusable(problems: Sequence[Problem]) -> UnusableData:
    """Return the error of a data set that a classifier cannot be trained on."""
    count = f"{len(problems)} problems with the data: " if len(problems) > 1 else ""
    shown = "; ".join(problem.message for problem in problems[:2])
    more = f"; and {len(problems) - 2:,} more" if len(problems) > 2 else ""
    sentence = f"{count}{shown}{more}."
    return UnusableData(sentence[0].upper() + sentence[1:], problems[:MAX_PROBLEMS])


def _names(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(clip(name, 32)) for name in columns[:10])
    return shown + (f" and {len(columns) - 10:,} more" if len(columns) > 10 else "")


def _features(
    table: Table,
    features: tuple[str, ...],
    request: TrainRequest,
    kinds: Sequence[ModelType],
    at: str,
) -> list[Problem]:
    if not features:
        return [Problem(at, "the data set has no column besides the target")]
    trees = any(kind.name in _FLOAT32 for kind in kinds)
    largest = _LARGEST_FLOAT32 if trees else _LARGEST
    plain = request.preprocessing == "none"
    taking_none = [kind.name for kind in kinds if plain and not _takes_missing(kind)]
    problems: list[Problem] = []
    for name in features:
        column = table.columns[name]
        if plain and column.type == "text":
            message = 'is text, which "preprocessing": "none" leaves as it is'
        elif taking_none and table.missing(name):
            message = (
                'has missing values, which "preprocessing": "none" leaves to '
                f"{taking_none[0]}, and that takes none"
            )
        else:
            message = column_checks.check_feature(name, column, largest, said=name in request.types)
        if message:
            problems.append(Problem(at, f"column {clip(name)!r} {message}"))
    return problems


def _tiny(table: Table, features: tuple[str, ...], kinds: Sequence[ModelType]) -> frozenset[str]:
    """Return the features that a tree would take for constant, nearly or wholly."""
    if not any(kind.name in _FLOAT32 for kind in kinds):
        return frozenset()
    return frozenset(
        name
        for name in features
        if table.columns[name].type == "number" and column_checks.is_tiny(table.columns[name])
    )


def _held_out_categories(
    table: Table, features: tuple[str, ...], train: NDArray[np.int64]
) -> Iterator[Note]:
    for name in features:
        column = table.columns[name]
        if column.type != "text":
            continue
        fitted = set(column.values[train])
        others = len(set(column.values) - fitted - {None})
        if others:
            many = "1 category is" if others == 1 else f"{others:,} categories are"
            yield Note(
                name,
                f"{many} in held-out rows alone: accepted, but the classifier learned nothing of "
                "them",
            )


def _takes_missing(kind: ModelType) -> bool:
    from sklearn.utils import get_tags

    return bool(get_tags(classifiers.build(kind.name, {})).input_tags.allow_nan)


def _class_weight(value: Any, classes: tuple[Label, ...]) -> tuple[Any, list[Problem]]:
    """Return the weights by label: keys in JSON are texts, whatever type the labels have."""
    if not isinstance(value, Mapping) or not classes:
        return value, []
    labels = {spelling(label): label for label in classes}
    problems = [
        Problem(f"/class_weight/{escape(key)}", f"{clip(key)!r} is not a class of the target")
        for key in value
        if key not in labels
    ]
    return {labels[key]: float(value[key]) for key in value if key in labels}, problems


def _split(
    codes: NDArray[np.int64], classes: tuple[Label, ...], request: TrainRequest
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out a stratified part of the rows."""
    from sklearn.model_selection import train_test_split

    rows = len(codes)
    held_out = int(np.ceil(rows * request.test_size))
    for part, size in (("test", held_out), ("train", rows - held_out)):
        if size < len(classes):
            message = (
                f"of {rows:,} rows leaves {size:,} to {part} with, and there are "
                f"{len(classes):,} classes"
            )
            raise unusable([Problem("/test_size", f"{request.test_size:g} {message}")])
    train, test = train_test_split(
        np.arange(rows), test_size=held_out, random_state=request.seed, stratify=codes
    )
    gone = np.flatnonzero(np.bincount(codes[train], minlength=len(classes)) == 0)
    if len(gone):
        label = clip(repr(classes[gone[0]]))
        message = f"{request.test_size:g} leaves no row of class {label} to train with"
        raise unusable([Problem("/test_size", message)])
    return np.sort(train), np.sort(test)


def _folds(
    codes: NDArray[np.int64],
    classes: tuple[Label, ...],
    request: TrainRequest,
    kinds: Sequence[ModelType],
) -> int:
    """Check that every fold has rows of every class, in a classifier's own splits too."""
    counts = np.bincount(codes, minlength=len(classes))
    rarest = int(np.argmin(counts))
    fewest, label = int(counts[rarest]), clip(repr(classes[rarest]))
    outer = request.folds
    if outer > fewest:
        message = (
            f"{outer} folds need as many rows of each class to train with; {label} has {fewest}"
        )
        search = request.search
        is_of_trials = search is not None and not search.is_list and (request.cv or 0) < outer
        at = "/search/folds" if is_of_trials else "/cv"
        raise unusable([Problem(at, message)])
    inner = min(5, fewest - -(-fewest // outer) if outer else fewest)
    splitting = [kind.name for kind in kinds if kind.cross_validates]
    if splitting and inner < 2:
        message = f"{splitting[0]} splits the rows again, and of class {label} there are too few"
        raise unusable([Problem("/target", message)])
    return max(inner, 2)


def _check_training_part(
    table: Table, features: tuple[str, ...], train: NDArray[np.int64], at: str
) -> None:
    problems = [
        Problem(
            at,
            f"column {clip(name)!r} has no value in the rows to train on; leave it out by "
            f'"exclude": ["{clip(name)}"]',
        )
        for name in features
        if table.missing(name) and table.columns[name].missing[train].all()
    ]
    if problems:
        raise unusable(problems)
