"""The classifiers that can be trained: their names, their needs, and how one is built."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from service.common.did_you_mean import did_you_mean
from service.common.errors import ModelTypeNotFound, Problem, clip
from service.worker.learning import hyperparameters

Scale = Literal["standard", "minmax"] | None
ClassWeight = Literal["balanced"] | Mapping[Any, float] | None

_TYPES: Mapping[str, tuple[str, str]] = {
    "AdaBoostClassifier": ("ensemble", "Small trees, each minding the last ones' mistakes"),
    "BaggingClassifier": ("ensemble", "Trees grown on random samples, averaged"),
    "BernoulliNB": ("naive_bayes", "Naive Bayes on features that are on or off"),
    "CalibratedClassifierCV": (
        "calibration",
        "A linear support vector machine with calibrated probabilities",
    ),
    "ComplementNB": ("naive_bayes", "Naive Bayes on counts, for uneven classes"),
    "DecisionTreeClassifier": ("tree", "One tree of questions, easy to explain"),
    "DummyClassifier": ("dummy", "Ignores the features: the baseline to beat"),
    "ExtraTreeClassifier": ("tree", "One tree that splits at random"),
    "ExtraTreesClassifier": ("ensemble", "A forest of trees that split at random"),
    "GaussianNB": ("naive_bayes", "Naive Bayes with a bell curve a feature"),
    "GaussianProcessClassifier": (
        "gaussian_process",
        "Smooth probabilities from few rows; slow beyond some hundred",
    ),
    "GradientBoostingClassifier": ("ensemble", "Trees that correct each other, one by one"),
    "HistGradientBoostingClassifier": (
        "ensemble",
        "Fast boosting for many rows; reads missing numbers as they are",
    ),
    "KNeighborsClassifier": ("neighbors", "Votes among the nearest training rows"),
    "LabelPropagation": ("semi_supervised", "Spreads labels along a graph of rows"),
    "LabelSpreading": (
        "semi_supervised",
        "Label propagation that doubts the labels: for noisy ones",
    ),
    "LinearDiscriminantAnalysis": (
        "discriminant_analysis",
        "Linear borders between bell-shaped classes of one spread",
    ),
    "LinearSVC": ("svm", "A linear border with a wide margin; no probabilities"),
    "LogisticRegression": ("linear_model", "Linear, with probabilities; a good start"),
    "LogisticRegressionCV": (
        "linear_model",
        "Logistic regression that chooses its own regularisation",
    ),
    "MLPClassifier": ("neural_network", "A neural network of a few dense layers"),
    "MultinomialNB": ("naive_bayes", "Naive Bayes on counts or shares"),
    "NearestCentroid": ("neighbors", "The class whose mean is nearest"),
    "NuSVC": ("svm", "SVC with the share of support vectors as its setting"),
    "Perceptron": ("linear_model", "The oldest linear learner: quick and simple"),
    "QuadraticDiscriminantAnalysis": (
        "discriminant_analysis",
        "Curved borders between bell-shaped classes",
    ),
    "RadiusNeighborsClassifier": ("neighbors", "Votes among all training rows within a radius"),
    "RandomForestClassifier": ("ensemble", "A forest of trees: strong with little tuning"),
    "RidgeClassifier": ("linear_model", "Linear least squares on the labels; fast"),
    "RidgeClassifierCV": (
        "linear_model",
        "Ridge classification that chooses its own regularisation",
    ),
    "SGDClassifier": ("linear_model", "Linear, learnt row by row: for many rows"),
    "SVC": ("svm", "Curved borders by kernels; no probabilities"),
}
"""scikit-learn's module, and a summary."""

_UNSCALED = frozenset({"dummy", "ensemble", "tree"})
"""Modules of classifiers that compare the numbers of a column, if any, with one another only."""

_NOT_NEGATIVE = frozenset({"ComplementNB", "MultinomialNB"})

NAMES = tuple(sorted(_TYPES))

_FIXED: Mapping[str, Mapping[str, object]] = {
    # The defaults that scikit-learn 1.9 warns about, as they are today or will be.
    "LogisticRegressionCV": {
        "l1_ratios": (0.0,),
        "scoring": None,
        "use_legacy_attributes": False,
    },
    # Without it, predict raises on a row that has no neighbour within the radius.
    "RadiusNeighborsClassifier": {"outlier_label": "most_frequent"},
}

_CROSS_VALIDATED = frozenset({"CalibratedClassifierCV", "LogisticRegressionCV"})


@dataclass(frozen=True)
class ModelType:
    """A classifier that can be trained, and what it needs of its data."""

    name: str
    summary: str
    estimator: Any
    scale: Scale
    params: Mapping[str, hyperparameters.Parameter]
    takes_class_weight: bool
    takes_seed: bool

    @property
    def probabilities(self) -> bool:
        """Whether it gives probabilities with its default parameters."""
        return hasattr(build(self.name, {}), "predict_proba")

    @property
    def takes_missing(self) -> bool:
        """Whether preprocessing "auto" passes missing numbers on to it."""
        return self.name == "HistGradientBoostingClassifier"

    @property
    def cross_validates(self) -> bool:
        """Whether its own fit splits the rows again, into 5 folds."""
        return self.name in _CROSS_VALIDATED

    def describe(self) -> dict[str, object]:
        """Return what `GET /model-types/{type}` replies."""
        return {
            "name": self.name,
            "summary": self.summary,
            "probabilities": self.probabilities,
            "params": {name: param.describe() for name, param in self.params.items()},
        }


@cache
def model_type(name: str) -> ModelType:
    """Return the type of that name; raises ModelTypeNotFound."""
    if name not in _TYPES:
        raise ModelTypeNotFound(name)
    module, summary = _TYPES[name]
    scale: Scale = "minmax" if name in _NOT_NEGATIVE else "standard"
    estimator = getattr(importlib.import_module(f"sklearn.{module}"), name)
    known = estimator._get_param_names()
    return ModelType(
        name=name,
        summary=summary + ".",
        estimator=estimator,
        scale=None if module in _UNSCALED else scale,
        params=hyperparameters.parameters(estimator),
        takes_class_weight="class_weight" in known,
        takes_seed="random_state" in known,
    )


def catalogue() -> list[ModelType]:
    """List every type, by name."""
    return [model_type(name) for name in NAMES]


def validate(name: object, params: object) -> list[Problem]:
    """Find everything wrong with a type and its parameters, as `/train` got them."""
    problems = check_name(name)
    if not isinstance(params, dict):
        return [*problems, Problem("/params", "must be an object")]
    if problems or not isinstance(name, str):
        return problems
    return hyperparameters.check(model_type(name).params, params, "/params")


def check_name(name: object) -> list[Problem]:
    """Find what is wrong with the name of a type."""
    at = "/model_type"
    if not isinstance(name, str):
        return [Problem(at, "must be the name of a model type, a text")]
    if name in _TYPES:
        return []
    shown = clip(name)
    if name.rpartition(".")[2] in _TYPES:
        return [Problem(at, f"write the name alone: {name.rpartition('.')[2]!r}")]
    if name.endswith(("Regressor", "Regression", "SVR")):
        reason = f"{shown!r} is not a classifier"
    else:
        reason = f"{shown!r} is not a model type"
    choices = f"there are: {', '.join(NAMES)}"
    return [Problem(at, f"{reason}{did_you_mean(name, NAMES)}; {choices}")]


def build(
    name: str,
    params: Mapping[str, Any],
    seed: int = 0,
    class_weight: ClassWeight = None,
    folds: int = 5,
) -> Any:
    """Return the unfitted classifier; the parameters must be valid (`validate`).

    It computes in one thread: a training takes one core, and forests add their trees in an order.
    `folds` is for those that split the rows again in their own fit.
    """
    kind = model_type(name)
    given: dict[str, Any] = dict(_FIXED.get(name, {}))
    for key, value in params.items():
        given[key] = kind.params[key].convert(value)
    if kind.takes_seed:
        given["random_state"] = seed
    if kind.cross_validates:
        given["cv"] = folds
    if class_weight is not None:
        given["class_weight"] = class_weight
    return kind.estimator(**given)
