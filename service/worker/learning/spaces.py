"""The space of a classifier's parameters that a search draws from: read, and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.common.did_you_mean import did_you_mean
from service.common.errors import Problem, escape
from service.worker.learning import hyperparameters
from service.worker.learning.classifiers import ModelType, build
from service.worker.learning.hyperparameters import Parameter, Range

_MOST_VALUES = 100
_KEYS = ("low", "high", "log")


@dataclass(frozen=True, slots=True)
class Choices:
    """Values of which one is drawn."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int | None:
        """The number of different values."""
        return len(self.values)

    @property
    def largest(self) -> float:
        """The largest number among them; 0 where there is none."""
        numbers = [v for v in self.values if isinstance(v, int | float) and v is not True]
        return float(max(numbers, default=0))

    def holds(self, value: object) -> bool:
        """Return whether the value is one of them."""
        return any(value == one and type(value) is type(one) for one in self.values)


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers between two bounds, which are valid values too."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def size(self) -> int | None:
        """The number of different values; None of numbers that are not whole."""
        return int(self.high - self.low) + 1 if self.whole else None

    @property
    def largest(self) -> float:
        """The upper bound."""
        return self.high

    def holds(self, value: object) -> bool:
        """Return whether the value lies between the bounds and is of their kind."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return self.low <= value <= self.high


Dimension = Choices | Span
Space = Mapping[str, Dimension]
"""By parameter."""


def read(kind: ModelType, value: Mapping[str, Any], at: str) -> tuple[Space, list[Problem]]:
    """Read a space as a client writes it; return it with everything that is wrong with it."""
    space: dict[str, Dimension] = {}
    problems: list[Problem] = []
    for name, asked in value.items():
        pointer = f"{at}/{escape(name)}"
        if message := hyperparameters.unknown(kind.params, name):
            problems.append(Problem(pointer, message))
            continue
        parameter = kind.params[name]
        if isinstance(asked, list):
            found = _check_values(parameter, asked, pointer)
            dimension: Dimension | None = None if found else Choices(tuple(asked))
        elif isinstance(asked, Mapping):
            dimension, found = _span(parameter, asked, pointer)
        else:
            dimension = None
            message = 'must be an array of values, or {"low": …, "high": …}'
            found = [Problem(pointer, message)]
        problems += found
        if dimension is not None:
            space[name] = dimension
    return space, problems


def _check_values(parameter: Parameter, values: Sequence[Any], at: str) -> list[Problem]:
    if not 1 <= len(values) <= _MOST_VALUES:
        return [Problem(at, f"must have 1 to {_MOST_VALUES} values")]
    return [
        Problem(f"{at}/{index}", f"must be {parameter.wanted}")
        for index, value in enumerate(values)
        if not parameter.accepts(value)
    ]


def _span(
    parameter: Parameter, asked: Mapping[str, Any], at: str
) -> tuple[Span | None, list[Problem]]:
    problems = [
        Problem(
            f"{at}/{escape(key)}",
            f"is not a key of a space (there are: {', '.join(_KEYS)}){did_you_mean(key, _KEYS)}",
        )
        for key in asked
        if key not in _KEYS
    ]
    problems += [Problem(f"{at}/{key}", "is missing") for key in _KEYS[:2] if key not in asked]
    log = asked.get("log")
    if not isinstance(log, bool | None):
        problems.append(Problem(f"{at}/log", "must be true or false"))
    if problems:
        return None, problems
    low, high = asked["low"], asked["high"]
    if parameter.most_items or not parameter.ranges:
        message = f"{parameter.name!r} is no number; write an array of values: {parameter.wanted}"
        return None, [Problem(at, message)]
    problems = [
        Problem(f"{at}/{key}", f"must be {parameter.wanted}")
        for key, bound in (("low", low), ("high", high))
        if isinstance(bound, bool | str | None) or not parameter.accepts(bound)
    ]
    if problems:
        return None, problems
    if not low < high:
        return None, [Problem(f"{at}/high", 'must be more than "low"')]
    if log and low <= 0:
        return None, [Problem(f"{at}/low", 'must be more than 0 where "log" is true')]
    within = _range_of(parameter.ranges, low, high)
    if within is None:
        message = "must be of one kind with low: both whole numbers, or both shares such as 0.5"
        return None, [Problem(f"{at}/high", message)]
    return Span(low, high, bool(log), within.kind == "integer"), []


def _range_of(ranges: Sequence[Range], low: float, high: float) -> Range | None:
    """Return the range of a parameter that holds both bounds; integers first, as `accepts` does."""
    fitting = [one for one in ranges if one.holds(low) and one.holds(high)]
    return min(fitting, key=lambda one: one.kind != "integer", default=None)


def has_probabilities(kind: ModelType, fixed: Mapping[str, Any], space: Space) -> bool:
    """Return whether the classifier has probabilities whatever is drawn from the space."""
    chosen = {name: one.values for name, one in space.items() if isinstance(one, Choices)}
    first = {**fixed, **{name: values[0] for name, values in chosen.items()}}
    settings = [first, *({**first, name: v} for name, values in chosen.items() for v in values)]
    return all(hasattr(build(kind.name, params), "predict_proba") for params in settings)
