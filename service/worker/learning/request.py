"""What a client asks `/train` for, read strictly: every problem is found, and points at its key."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson

from service.common.did_you_mean import did_you_mean
from service.common.domain import LOG_OF_USE, is_new_model_name
from service.common.errors import InvalidRequest, Problem, clip, escape
from service.worker.learning import classifiers, hyperparameters

MOST_CANDIDATES = 200
MOST_PROBLEMS = 20

_PLAIN = frozenset({"name", "model_type", "target", "preprocessing", "unknown_categories"})


@dataclass(frozen=True, slots=True)
class Search:
    """Values to try for some parameters: all combinations, or `n_iter` of them at random."""

    params: Mapping[str, list[Any]]
    n_iter: int | None = None

    @property
    def combinations(self) -> int:
        """The number of different candidates."""
        return math.prod(len(values) for values in self.params.values())

    @property
    def candidates(self) -> int:
        """The number of candidates that will be tried."""
        return min(self.n_iter or self.combinations, self.combinations)


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """A request to train, apart from its data; None is what the client left to the service."""

    name: str | None = None
    model_type: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    test_size: float = 0.2
    seed: int = 0
    preprocessing: Literal["auto", "none"] = "auto"
    cv: int | None = None
    search: Search | None = None
    class_weight: Literal["balanced"] | Mapping[str, float] | None = None
    unknown_categories: Literal["refuse", "ignore"] = "refuse"
    refit: bool = False
    use: bool | None = None
    wait: float | None = None


KEYS = tuple(TrainRequest.__dataclass_fields__)


def parse_request(value: object, data_keys: Sequence[str] = ("dataset",)) -> TrainRequest:
    """Read a body that was parsed from JSON; the `data_keys` are allowed and not looked at.

    Raises InvalidRequest with every problem, at most 20.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest("The body must be a JSON object.", [Problem("", "is no object")])
    problems: list[Problem] = []
    known: dict[str, Any] = {}
    for key, given in value.items():
        if key in data_keys:
            continue
        if key not in KEYS:
            problems.append(Problem(f"/{escape(str(key))}", _unknown(str(key), data_keys)))
        elif given is not None:
            known[key] = given
    for key, (accepts, wanted) in _CHECKS.items():
        if key in known and not accepts(known[key]):
            problems.append(Problem(f"/{key}", wanted))
    if known.get("name") == LOG_OF_USE:
        problems.append(Problem("/name", f"is taken: no model is called {LOG_OF_USE!r}"))
    problems += _check_type(known)
    search = _search(known, problems)
    problems += _check_class_weight(known)
    if problems:
        raise refused(problems)
    known.pop("search", None)
    return TrainRequest(**known, search=search)


def parse_form(
    fields: Mapping[str, str], data_keys: Sequence[str] = ("dataset", "file")
) -> TrainRequest:
    """Read the fields of a form: all are text, and what is no name is JSON.

    A field left empty counts as one that was not sent.
    """
    value: dict[str, object] = {}
    problems: list[Problem] = []
    for key, text in fields.items():
        if key in data_keys or text == "":
            continue
        if key in _PLAIN or (key == "class_weight" and not text.lstrip().startswith("{")):
            value[key] = text
            continue
        if key not in KEYS:
            value[key] = text
            continue
        try:
            value[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            problems.append(Problem(f"/{key}", f"is no JSON: {clip(text)!r}"))
    if problems:
        raise refused(problems)
    return parse_request(value, data_keys)


def refused(problems: Sequence[Problem]) -> InvalidRequest:
    """Make the error of a request with these problems, its detail the first of them."""
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    shown = "; ".join(f"{p.pointer.lstrip('/')} {p.message}" for p in problems[:2])
    return InvalidRequest(f"{count}{shown}.", problems[:MOST_PROBLEMS])


def _unknown(key: str, data_keys: Sequence[str]) -> str:
    known = [*KEYS, *data_keys]
    hint = did_you_mean(key, known) or f"; there are: {', '.join(known)}"
    return f"is not a key of this request{hint}"


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _number(low: float, high: float, ends: bool) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return low <= value <= high if ends else low < value < high

    return accepts


def _integer(low: int, high: int) -> Callable[[object], bool]:
    def accepts(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return accepts


def _one_of(*choices: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in choices


def _boolean(value: object) -> bool:
    return isinstance(value, bool)


_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "name": (
        lambda value: value == LOG_OF_USE or (isinstance(value, str) and is_new_model_name(value)),
        "must be 1 to 128 letters, digits, '_' or '-'; MLflow takes no other in a model's name",
    ),
    "target": (_text, "must be the name of a column, a text"),
    "params": (lambda value: isinstance(value, dict), "must be an object"),
    "test_size": (_number(0, 1, ends=False), "must be a number more than 0 and less than 1"),
    "seed": (_integer(0, 2**32 - 1), "must be an integer from 0 to 4294967295"),
    "preprocessing": (_one_of("auto", "none"), 'must be "auto" or "none"'),
    "cv": (_integer(2, 20), "must be an integer from 2 to 20"),
    "unknown_categories": (_one_of("refuse", "ignore"), 'must be "refuse" or "ignore"'),
    "refit": (_boolean, "must be true or false"),
    "use": (_boolean, "must be true or false"),
    "wait": (_number(0, 300, ends=True), "must be a number of seconds from 0 to 300"),
}


def _check_type(known: Mapping[str, Any]) -> list[Problem]:
    params = known.get("params", {})
    if "model_type" not in known:
        needs = 'needs "model_type" beside it'
        return [Problem(f"/{key}", needs) for key in ("params", "search") if known.get(key)]
    if not isinstance(params, dict):
        return classifiers.check_name(known["model_type"])
    problems = classifiers.validate(known["model_type"], params)
    if "class_weight" in known and not classifiers.check_name(known["model_type"]):
        kind = classifiers.model_type(known["model_type"])
        if not kind.takes_class_weight:
            problems.append(Problem("/class_weight", f"is not taken by {kind.name}"))
    return problems


def _search(known: Mapping[str, Any], problems: list[Problem]) -> Search | None:
    """Read the search; what is wrong with it is added to the problems."""
    value = known.get("search")
    if value is None:
        return None
    found: list[Problem] = []
    if not isinstance(value, dict) or not isinstance(value.get("params"), dict):
        found.append(Problem("/search", 'must be {"params": {name: [values]}, "n_iter": 20}'))
        problems += found
        return None
    odd = [key for key in value if key not in ("params", "n_iter")]
    found += [Problem(f"/search/{escape(key)}", "is not a key of a search") for key in odd]
    n_iter = value.get("n_iter")
    if n_iter is not None and not _integer(1, MOST_CANDIDATES)(n_iter):
        message = f"must be an integer from 1 to {MOST_CANDIDATES}"
        found.append(Problem("/search/n_iter", message))
    lists = cast("dict[str, Any]", value["params"])
    if not lists:
        found.append(Problem("/search/params", "names no parameter"))
    for name, values in lists.items():
        at = f"/search/params/{escape(name)}"
        if not isinstance(values, list) or not 1 <= len(values) <= 100:
            found.append(Problem(at, "must be an array of 1 to 100 values"))
        elif name in known.get("params", {}):
            found.append(Problem(at, 'stands in "params" too; leave one of them out'))
        else:
            found += _check_values(known.get("model_type"), name, values, at)
    problems += found
    if found:
        return None
    search = Search(lists, n_iter)
    if search.candidates > MOST_CANDIDATES:
        message = (
            f"makes {search.combinations:,} combinations; set n_iter to at most {MOST_CANDIDATES}"
        )
        problems.append(Problem("/search/params", message))
    return search


def _check_values(kind: object, name: str, values: list[Any], at: str) -> list[Problem]:
    if not isinstance(kind, str) or classifiers.check_name(kind):
        return []
    settable = classifiers.model_type(kind).params
    if message := hyperparameters.unknown(settable, name):
        return [Problem(at, message)]
    wanted = settable[name]
    return [
        Problem(f"{at}/{index}", f"must be {wanted.wanted}")
        for index, value in enumerate(values)
        if not wanted.accepts(value)
    ]


def _check_class_weight(known: Mapping[str, Any]) -> list[Problem]:
    value = known.get("class_weight")
    if value is None or value == "balanced":
        return []
    if not isinstance(value, dict) or not value:
        return [Problem("/class_weight", 'must be "balanced", or an object of class and weight')]
    fits = _number(0, 1e6, ends=True)
    return [
        Problem(f"/class_weight/{escape(label)}", "must be a number more than 0, to 1,000,000")
        for label, weight in value.items()
        if not fits(weight) or weight == 0
    ]
