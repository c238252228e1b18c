"""The search of a request to `/train`, checked against what its classifiers take."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.common.did_you_mean import did_you_mean
from service.common.errors import Problem, clip, escape
from service.schema.search import (
    DEFAULT,
    DEFAULT_TYPES,
    LISTS_ALONE,
    NEED_PROBABILITIES,
    SPACE_ALONE,
    Metric,
    Search,
)
from service.schema.train_request import TrainRequest
from service.worker.learning import classifiers, hyperparameters
from service.worker.learning.default_spaces import default_space
from service.worker.learning.spaces import Space, has_probabilities, read

_AT = "/search"
_ROWS, _WIDTH = 1_000, 10
"""Rows and inputs for which a default space is made before the data is known."""


def check(request: TrainRequest, most_seconds: float | None) -> tuple[TrainRequest, list[Problem]]:
    """Find what is wrong with a request's search, whose values have the right types.

    Return the request with the classifiers of the search filled in. `most_seconds`: what a training
    may take, where that is known.
    """
    search = request.search
    assert search is not None
    problems = _mixed(search)
    if problems:
        return request, problems
    if search.is_list:
        return request, _check_lists(request, search)
    if search.seconds is not None and most_seconds is not None and search.seconds > most_seconds:
        message = f"must be at most {most_seconds:g}, the seconds that a training may take"
        problems.append(Problem(f"{_AT}/seconds", message))
    search, found = _named(request, search)
    problems += found
    request = request.model_copy(update={"search": search})
    if not found:
        problems += _check_spaces(request, search)
    return request, problems


def spaces_of(request: TrainRequest, rows: int, width: int) -> dict[str, Space]:
    """Return the space of each classifier of a search that was checked.

    `rows` and `width` are those that each trial is fitted on. What `params` fix is not searched.
    """
    search = request.search
    assert search is not None
    spaces: dict[str, Space] = {}
    for name in request.type_names:
        kind, asked = classifiers.model_type(name), search.space_of(name)
        space = default_space(kind, rows, width) if asked == DEFAULT else read(kind, asked, "")[0]
        spaces[name] = {key: one for key, one in space.items() if key not in request.params}
    return spaces


def metric_of(request: TrainRequest) -> Metric:
    """Return what the trials of a checked search are scored by."""
    search = request.search
    assert search is not None
    if search.is_list:
        return "accuracy"
    if search.metric is not None:
        return search.metric
    spaces = spaces_of(request, _ROWS, _WIDTH)
    return "balanced_accuracy" if _without_probabilities(request, spaces) else "log_loss"


def _without_probabilities(request: TrainRequest, spaces: Mapping[str, Space]) -> list[str]:
    return [
        name
        for name, space in spaces.items()
        if not has_probabilities(classifiers.model_type(name), request.params, space)
    ]


def _mixed(search: Search) -> list[Problem]:
    """Find keys of the one form in a search of the other."""
    sent = [name for name in Search.model_fields if getattr(search, name) is not None]
    of_space = [name for name in sent if name in SPACE_ALONE]
    of_lists = [name for name in sent if name in LISTS_ALONE]
    if of_space and of_lists:
        message = (
            f"cannot be beside {clip(', '.join(of_space), 100)}: a search either tries the lists "
            'of "params", or draws from "space"'
        )
        return [Problem(f"{_AT}/{name}", message) for name in of_lists]
    if of_lists == ["n_iter"]:
        return [Problem(f"{_AT}/n_iter", 'needs "params" beside it')]
    return []


def _check_lists(request: TrainRequest, search: Search) -> list[Problem]:
    problems: list[Problem] = []
    kind = request.model_type
    for name, values in (search.params or {}).items():
        pointer = f"{_AT}/params/{escape(name)}"
        if name in request.params:
            problems.append(Problem(pointer, 'is in "params" too; leave one of them out'))
        elif kind is not None and not classifiers.check_name(kind):
            problems += _check_values(kind, name, values, pointer)
    if not problems and (excess := search.excess()):
        problems.append(Problem(f"{_AT}/params", excess))
    return problems


def _check_values(kind: str, name: str, values: Sequence[Any], pointer: str) -> list[Problem]:
    settable = classifiers.model_type(kind).params
    if message := hyperparameters.unknown(settable, name):
        return [Problem(pointer, message)]
    parameter = settable[name]
    return [
        Problem(f"{pointer}/{index}", f"must be {parameter.wanted}")
        for index, value in enumerate(values)
        if not parameter.accepts(value)
    ]


def _named(request: TrainRequest, search: Search) -> tuple[Search, list[Problem]]:
    """Fill in the classifiers of a search, each with its space, unless the request names one."""
    space, types = search.space, search.model_types
    if request.model_type is not None:
        if types is None:
            return search, []
        message = 'cannot be beside "model_type"; leave one of them out'
        return search, [Problem(f"{_AT}/model_types", message)]
    if request.params:
        message = (
            'needs "model_type" beside it; of several classifiers, an array of one value in its '
            "space fixes a parameter"
        )
        return search, [Problem("/params", message)]
    if types is None:
        if isinstance(space, dict):
            if not set(space) & set(classifiers.NAMES):
                message = 'needs "model_type" beside the search, or "model_types" in it'
                return search, [Problem(f"{_AT}/space", message)]
            return _each(search, space, f"{_AT}/space")
        return _each(search, dict.fromkeys(DEFAULT_TYPES, DEFAULT), f"{_AT}/model_types")
    if isinstance(types, dict):
        if space is not None:
            message = 'cannot be beside the spaces of "model_types"'
            return search, [Problem(f"{_AT}/space", message)]
        return _each(search, types, f"{_AT}/model_types")
    problems = [
        problem
        for index, name in enumerate(types)
        for problem in _check_name(name, f"{_AT}/model_types/{index}")
    ]
    if len(set(types)) < len(types):
        problems.append(Problem(f"{_AT}/model_types", "names a classifier more than once"))
    spaces: dict[str, Any] = dict.fromkeys(types, DEFAULT)
    if isinstance(space, dict) and len(types) == 1 and types[0] not in space:
        spaces = {types[0]: space}
    elif isinstance(space, dict):
        problems += [
            Problem(
                f"{_AT}/space/{escape(key)}",
                "is not one of the search's model_types, each of which has a space of its own"
                + did_you_mean(key, types),
            )
            for key in space
            if key not in types
        ]
        spaces |= space
    return search.model_copy(update={"model_types": spaces, "space": None}), problems


def _each(search: Search, spaces: Mapping[str, Any], at: str) -> tuple[Search, list[Problem]]:
    problems = [problem for name in spaces for problem in _check_name(name, f"{at}/{escape(name)}")]
    return search.model_copy(update={"model_types": dict(spaces), "space": None}), problems


def _check_name(name: str, pointer: str) -> list[Problem]:
    return [Problem(pointer, problem.message) for problem in classifiers.check_name(name)]


def _check_spaces(request: TrainRequest, search: Search) -> list[Problem]:
    problems: list[Problem] = []
    for name in request.type_names:
        if classifiers.check_name(name):  # It is a problem of the request already.
            return problems
        kind, asked = classifiers.model_type(name), search.space_of(name)
        at = f"{_AT}/{'space' if search.model_types is None else f'model_types/{name}'}"
        if request.class_weight is not None and not kind.takes_class_weight:
            problems.append(Problem("/class_weight", f"is not taken by {name}"))
        if asked == DEFAULT:
            continue
        if not isinstance(asked, dict) or not asked:
            message = 'must be "default", or an object of parameters that is not empty'
            problems.append(Problem(at, message))
            continue
        problems += read(kind, asked, at)[1]
        problems += [
            Problem(f"{at}/{escape(key)}", 'is in "params" too; leave one of them out')
            for key in asked
            if key in request.params
        ]
    if not problems and _is_valid(request):
        problems += _check_metric(request, search)
    return problems


def _is_valid(request: TrainRequest) -> bool:
    """Return whether the fixed parameters may be given to the classifier."""
    return not request.params or not classifiers.validate(request.model_type, request.params)


def _check_metric(request: TrainRequest, search: Search) -> list[Problem]:
    if search.metric not in NEED_PROBABILITIES:
        return []
    lacking = _without_probabilities(request, spaces_of(request, _ROWS, _WIDTH))
    if not lacking:
        return []
    few = ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
    message = (
        f"is of probabilities, which not all have in this search: {few}; choose "
        "balanced_accuracy, accuracy or f1"
    )
    return [Problem(f"{_AT}/metric", message)]
