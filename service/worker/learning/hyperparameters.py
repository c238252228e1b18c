"""The parameters of a classifier that a client may set, derived from scikit-learn's constraints.

scikit-learn says what is valid; the tables here say what is left out and where a service must stop
before scikit-learn does.
"""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from service.common.did_you_mean import did_you_mean
from service.common.errors import Problem, clip, escape

Kind = Literal["integer", "number"]

UNSETTABLE: Mapping[str, str] = {
    "random_state": 'cannot be set here; use "seed" beside "params"',
    "class_weight": 'cannot be set here; use "class_weight" beside "params"',
    "verbose": "cannot be set",
    "warm_start": "cannot be set",
    "n_jobs": "cannot be set; the service decides",
    "estimator": "cannot be set; a classifier is trained alone",
    "cv": 'cannot be set here; use "cv" beside "params"',
    "probability": "is deprecated; choose CalibratedClassifierCV for probabilities",
    "penalty": "is deprecated; use l1_ratio and C",
}
"""Parameters that scikit-learn has and clients ask for, with what to say instead."""

_LEFT_OUT = frozenset(
    {
        *(UNSETTABLE.keys() - {"penalty"}),
        *("copy_X", "copy_X_train", "store_covariance", "store_cv_results", "oob_score", "refit"),
        *("decision_function_shape", "scoring", "use_legacy_attributes", "outlier_label"),
        *("metric_params", "monotonic_cst", "interaction_cst", "categorical_features", "constant"),
    }
)

_MOST: Mapping[str, float] = {
    "n_estimators": 2_000,
    "max_iter": 100_000,
    "max_fun": 100_000,
    "max_iter_predict": 1_000,
    "n_restarts_optimizer": 10,
    "max_depth": 100,
    "max_leaf_nodes": 100_000,
    "min_samples_split": 1_000_000,
    "min_samples_leaf": 1_000_000,
    "max_features": 100_000,
    "max_samples": 10_000_000,
    "n_components": 10_000,
    "n_neighbors": 10_000,
    "leaf_size": 10_000,
    "n_iter_no_change": 10_000,
    "batch_size": 100_000,
    "degree": 10,
    "cache_size": 500,
    "Cs": 50,
    "p": 100,
}
_MOST_INTEGER = 1_000_000
_MOST_NUMBER = 1e9
_LEAST: Mapping[str, float] = {"p": 1, "power_t": 0}

_CHOICES: Mapping[str, tuple[object, ...]] = {
    "kernel": ("knn", "linear", "poly", "rbf", "sigmoid"),
    "metric": ("chebyshev", "cosine", "euclidean", "manhattan", "minkowski"),
    "learning_rate": ("adaptive", "constant", "invscaling", "optimal"),
    "strategy": ("most_frequent", "prior"),
    "weights": ("uniform", "distance"),
    "average": (),
    "radius": (),
    "n_neighbors": (),
    "p": (),
    "l1_ratio": (),
    "binarize": (),
}
"""The choices that are allowed, where some of scikit-learn's cannot be served."""

_LISTS: Mapping[str, tuple[Kind, float, float, int]] = {
    "hidden_layer_sizes": ("integer", 1, 2_000, 5),
    "alphas": ("number", 1e-9, 1e9, 50),
}
"""Parameters that are lists: type, minimum and maximum of an item, and the most items."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers of one kind between two bounds."""

    kind: Kind
    minimum: float
    maximum: float
    exclusive: tuple[str, ...] = ()
    """The bounds that are not valid values themselves: `minimum`, `maximum` or both."""

    def holds(self, value: object) -> bool:
        """Return whether the value is such a number; true is not 1, and 1.0 is not an integer."""
        allowed = int if self.kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            return False
        if not self.minimum <= value <= self.maximum:
            return False
        return not (
            ("minimum" in self.exclusive and value == self.minimum)
            or ("maximum" in self.exclusive and value == self.maximum)
        )

    def describe(self) -> dict[str, object]:
        """Return the range as replies show it."""
        whole = self.kind == "integer"
        shown: dict[str, object] = {
            "type": self.kind,
            "minimum": int(self.minimum) if whole else self.minimum,
            "maximum": int(self.maximum) if whole else self.maximum,
        }
        return shown | ({"exclusive": list(self.exclusive)} if self.exclusive else {})

    def __str__(self) -> str:
        article = "an integer" if self.kind == "integer" else "a number"
        low = "more than" if "minimum" in self.exclusive else "from"
        high = "less than" if "maximum" in self.exclusive else "to"
        join = " and " if "maximum" in self.exclusive else " "
        return f"{article} {low} {self.minimum:,g}{join}{high} {self.maximum:,g}"


@dataclass(frozen=True)
class Parameter:
    """What one parameter may be: in one of the ranges, a boolean, or one of the choices."""

    name: str
    default: Any
    ranges: tuple[Range, ...] = ()
    boolean: bool = False
    choices: tuple[str | None, ...] = ()
    most_items: int = 0
    """More than 0 for a list, whose items the first range describes."""

    def accepts(self, value: object) -> bool:
        """Return whether the value may be given to scikit-learn."""
        if self.most_items:
            return (
                isinstance(value, list)
                and 1 <= len(value) <= self.most_items
                and all(self.ranges[0].holds(item) for item in value)
            )
        if isinstance(value, bool):
            return self.boolean
        if value is None or isinstance(value, str):
            return value in self.choices
        whole = [one for one in self.ranges if one.kind == "integer"]
        if isinstance(value, int) and whole:
            # Of 1 and 1.0, scikit-learn takes one for a count and the other for a share.
            return any(one.holds(value) for one in whole)
        return any(one.holds(value) for one in self.ranges)

    def convert(self, value: Any) -> Any:
        """Return a valid value in the type that scikit-learn expects."""
        if isinstance(value, list):
            return tuple(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return value if any(one.kind == "integer" for one in self.ranges) else float(value)

    def describe(self) -> dict[str, object]:
        """Return the parameter as replies show it.

        A value of the type within the bounds is valid, or one in the bounds of `also`, or one of
        the `choices`.
        """
        shown: dict[str, object]
        if self.most_items:
            shown = {"type": "array", "items": self.ranges[0].describe(), "most": self.most_items}
        elif self.boolean:
            shown = {"type": "boolean"}
        elif self.ranges:
            shown = self.ranges[0].describe()
            if len(self.ranges) > 1:
                shown["also"] = self.ranges[1].describe()
        else:
            shown = {"type": "text"}
        if self.choices:
            shown["choices"] = list(self.choices)
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        return shown | {"default": default}

    @cached_property
    def wanted(self) -> str:
        """What a value must be, in words."""
        if self.most_items:
            return f"an array of 1 to {self.most_items}, each {self.ranges[0]}"
        options = [str(one) for one in self.ranges]
        options += ["true or false"] if self.boolean else []
        shown = ["null" if choice is None else f'"{choice}"' for choice in self.choices]
        if len(shown) > 1 and not options:
            return "one of " + ", ".join(shown)
        return ", or ".join(options + ([" or ".join(shown)] if shown else []))


def parameters(estimator: type[Any]) -> dict[str, Parameter]:
    """Return the parameters of a classifier that a client may set."""
    found: dict[str, Parameter] = {}
    for name, argument in inspect.signature(estimator).parameters.items():
        constraints = estimator._parameter_constraints.get(name)
        if name in _LEFT_OUT or not isinstance(constraints, list):
            continue
        if argument.default in ("deprecated", "warn"):
            continue
        if name in _LISTS:
            kind, low, high, items = _LISTS[name]
            only = Range(kind, low, high)
            found[name] = Parameter(name, argument.default, (only,), most_items=items)
            continue
        parameter = _derive(name, argument.default, constraints)
        if parameter.ranges or parameter.boolean or len(parameter.choices) > 1:
            found[name] = parameter
    return found


def _derive(name: str, default: object, constraints: list[Any]) -> Parameter:
    from sklearn.utils._param_validation import Interval, StrOptions

    ranges: list[Range] = []
    choices: list[str | None] = []
    boolean = False
    for constraint in constraints:
        if isinstance(constraint, Interval):
            ranges.append(_range(name, constraint))
        elif isinstance(constraint, StrOptions):
            choices += sorted(constraint.options - constraint.deprecated)
        elif constraint is None:
            choices.append(None)
        elif isinstance(constraint, str) and constraint == "boolean":
            boolean = True
    if boolean:
        ranges = []
    if name in _CHOICES:
        choices = [choice for choice in choices if choice in _CHOICES[name]]
    return Parameter(name, default, tuple(ranges), boolean, tuple(choices))


def _range(name: str, interval: Any) -> Range:
    """Return scikit-learn's interval, limited to what a service can afford."""
    whole = interval.type.__name__ == "Integral"
    most = _MOST.get(name, _MOST_INTEGER if whole else _MOST_NUMBER)
    if not whole and name in ("min_samples_split", "min_samples_leaf", "max_samples"):
        most = 1.0
    least = _LEAST.get(name, -most)
    left = -math.inf if interval.left is None else float(interval.left)
    right = math.inf if interval.right is None else float(interval.right)
    exclusive: tuple[str, ...] = ()
    if left < least:
        left = least
    elif interval.closed in ("right", "neither"):
        if whole:
            left += 1
        else:
            exclusive += ("minimum",)
    if right > most:
        right = most
    elif interval.closed in ("left", "neither"):
        exclusive += ("maximum",)
    return Range("integer" if whole else "number", left, right, exclusive)


def check(
    settable: Mapping[str, Parameter], params: Mapping[str, object], at: str
) -> list[Problem]:
    """Find everything wrong with the parameters a client sent; `at` is their pointer."""
    problems: list[Problem] = []
    for name, value in params.items():
        message = unknown(settable, name)
        if not message and not settable[name].accepts(value):
            message = f"must be {settable[name].wanted}; not {clip(_shown(value))}"
        if message:
            problems.append(Problem(f"{at}/{escape(name)}", message))
    return problems


def unknown(settable: Mapping[str, Parameter], name: str) -> str:
    """Return why a parameter of that name cannot be set; empty if it can."""
    if name in settable:
        return ""
    if name in UNSETTABLE and (name != "penalty" or "l1_ratio" in settable):
        return UNSETTABLE[name]
    hint = did_you_mean(name, settable)
    return f"is not a parameter of it (there are: {', '.join(sorted(settable))}){hint}"


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "that array" if isinstance(value, list) else "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) > 10**60:
        return "so large a number"
    return f'"{clip(value, 48)}"' if isinstance(value, str) else str(value)
