"""A request to `/train`, checked: every problem is found, and points at its key."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError

from service.common.did_you_mean import did_you_mean
from service.common.domain import IF_BETTER
from service.common.errors import InvalidRequest, Problem, clip, pointer_to
from service.schema.file_options import FileOptions
from service.schema.search import Search
from service.schema.train_request import TrainRequest
from service.worker.learning import classifiers, search_request

MAX_PROBLEMS = 20

KEYS = tuple(TrainRequest.model_fields)
_TEXTS = frozenset(
    {"name", "model_type", "target", "preprocessing", "unknown_categories", "encoding"}
)
"""Fields of a form that are texts; any other is JSON."""
_LISTS = frozenset({"exclude", "missing"})
"""Fields that are lists of texts: JSON, or with commas between."""


def parse_request(
    value: object,
    data_keys: Sequence[str] = ("dataset",),
    most_seconds: float | None = None,
) -> TrainRequest:
    """Check a body that was parsed from JSON; the `data_keys` are allowed and not looked at.

    `most_seconds`: what a training may take, for its search. A key that is null counts as not sent.
    Raises InvalidRequest with every problem, at most 20.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "must be an object")])
    sent = {key: item for key, item in value.items() if item is not None and key not in data_keys}
    problems: list[Problem] = []
    request = None
    try:
        request = TrainRequest.model_validate(sent)
    except ValidationError as error:
        problems += _problems(error, data_keys)
    problems += _check_classifier(sent)
    if request is not None and request.search is not None:
        request, found = search_request.check(request, most_seconds)
        problems += found
    if problems:
        raise refused(problems)
    assert request is not None
    return request


def parse_form(
    fields: Mapping[str, str],
    data_keys: Sequence[str] = ("dataset", "file"),
    most_seconds: float | None = None,
) -> TrainRequest:
    """Check the fields of a form: all are text, and what is not a name is JSON."""
    return parse_request(_from_texts(fields, data_keys), data_keys, most_seconds)


def parse_options(fields: Mapping[str, str]) -> FileOptions:
    """Check how a data set is to be read, sent as the texts of a form or of a query."""
    try:
        return FileOptions.model_validate(_from_texts(fields, ()))
    except ValidationError as error:
        raise refused(_problems(error, ())) from error


def _from_texts(fields: Mapping[str, str], data_keys: Sequence[str]) -> dict[str, object]:
    value: dict[str, object] = {}
    problems: list[Problem] = []
    for key, text in fields.items():
        if key in data_keys:
            continue
        if key in _LISTS and not text.lstrip().startswith("["):
            value[key] = [part.strip() for part in text.split(",")] if text.strip() else []
            continue
        if key in _TEXTS or (key == "class_weight" and not text.lstrip().startswith("{")):
            value[key] = text
            continue
        if key not in KEYS or (key == "use" and text == IF_BETTER):
            value[key] = text
            continue
        try:
            value[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            problems.append(Problem(f"/{key}", f"is not JSON: {clip(text)!r}"))
    if problems:
        raise refused(problems)
    return value


def refused(problems: Sequence[Problem]) -> InvalidRequest:
    """Return the error of a request with these problems; its detail is the first of them."""
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    first = "; ".join(f"{p.pointer.lstrip('/')} {p.message}" for p in problems[:2])
    end = "" if first.endswith("?") else "."
    return InvalidRequest(f"{count}{first}{end}", problems[:MAX_PROBLEMS])


def _problems(error: ValidationError, data_keys: Sequence[str]) -> list[Problem]:
    found = [
        _problem(item["loc"], item["type"], item["msg"], data_keys)
        for item in error.errors(include_url=False, include_input=False)
    ]
    return list(dict.fromkeys(found))


def _problem(
    path: Sequence[int | str], kind: str, message: str, data_keys: Sequence[str]
) -> Problem:
    pointer = pointer_to(path)
    if kind == "extra_forbidden":
        keys = [*Search.model_fields] if len(path) > 1 else [*KEYS, *data_keys]
        where = "a search" if len(path) > 1 else "this request"
        message = f"is not a key of {where} (there are: {', '.join(keys)})"
        return Problem(pointer, message + did_you_mean(path[-1], keys))
    if kind == "missing":
        return Problem(pointer, "is missing")
    for subject in ("Value error, ", "Input should ", "List should ", "Dictionary should "):
        if message.startswith(subject):
            message = message.removeprefix(subject)
            message = message if subject.startswith("Value") else f"must {message}"
    return Problem(pointer, message.replace("String should", "must"))


def _check_classifier(sent: Mapping[str, Any]) -> list[Problem]:
    """Find what is wrong with a model type, its parameters, and what goes with it."""
    params = sent.get("params", {})
    if "model_type" not in sent:
        needs = 'needs "model_type" beside it'
        search = sent.get("search")
        is_list = isinstance(search, dict) and "params" in search
        wrong = {"params": bool(params) and (is_list or not search), "search": is_list}
        return [Problem(f"/{key}", needs) for key, is_wrong in wrong.items() if is_wrong]
    if not isinstance(params, dict):
        return classifiers.check_name(sent["model_type"])
    problems = classifiers.validate(sent["model_type"], params)
    if "class_weight" in sent and not classifiers.check_name(sent["model_type"]):
        kind = classifiers.model_type(sent["model_type"])
        if not kind.takes_class_weight:
            problems.append(Problem("/class_weight", f"is not taken by {kind.name}"))
    return problems
