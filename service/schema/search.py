"""What a client may ask of a search, in one of two forms.

A *list search* tries every combination of the listed values, or `n_iter` of them. A *space search*
samples parameters from spaces, of one classifier or of several. What a classifier takes is checked
in `worker.learning`.
"""

import math
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from service.schema.file_options import FileOptions

MAX_CANDIDATES = 200
_MAX_COMBINATIONS = 1_000_000_000
MAX_TRIALS = 1_000
MAX_PARALLEL = 16
_MOST_TYPES = 32

Metric = Literal["accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc"]
METRICS: tuple[Metric, ...] = get_args(Metric)
NEED_PROBABILITIES = frozenset({"log_loss", "roc_auc"})
"""Metrics of the probabilities; the others are of the labels."""

DEFAULT = "default"
DEFAULT_TYPES = (
    *("ExtraTreesClassifier", "HistGradientBoostingClassifier"),
    *("LogisticRegression", "RandomForestClassifier"),
)
"""What is searched where neither the request nor its search names a classifier."""

EXAMPLES: tuple[dict[str, Any], ...] = (
    {"seconds": 60},
    {
        "model_types": {
            "SVC": {"C": {"low": 0.01, "high": 100, "log": True}, "kernel": ["rbf", "poly"]},
            "RandomForestClassifier": DEFAULT,
        },
        "trials": 50,
        "metric": "f1",
        "stop_after": 15,
    },
)
"""Searches that need nothing else beside them, for the document of the API."""

LISTS_ALONE = ("params", "n_iter")
SPACE_ALONE = (
    *("space", "model_types", "trials", "seconds", "metric", "folds", "parallel"),
    *("stop_after", "seed"),
)

_VALUES = Annotated[list[Any], Field(min_length=1, max_length=100)]


class Search(BaseModel):
    """Many candidates, of which the best is trained: from a space, or all that lists make."""

    model_config = ConfigDict(
        **FileOptions.model_config, json_schema_extra={"examples": list(EXAMPLES)}
    )

    space: Literal["default"] | dict[str, Any] | None = Field(
        None,
        description='"default", or for each parameter `{"low", "high", "log"}` or an array of '
        "values; of several classifiers, such an object for each",
        examples=[{"C": {"low": 0.01, "high": 100, "log": True}, "kernel": ["rbf", "poly"]}],
    )
    model_types: list[str] | dict[str, Any] | None = Field(
        None,
        description="the classifiers to search, in place of `model_type`; or an object of each "
        "one's space",
    )
    trials: int | None = Field(
        None, ge=1, le=MAX_TRIALS, description="candidates to try at most; default 30"
    )
    seconds: float | None = Field(
        None, gt=0, description="how long to search at most; at most what a training may take"
    )
    metric: Metric | None = Field(
        None,
        description="what the folds are scored by; default log_loss where each classifier has "
        "probabilities, else balanced_accuracy",
    )
    folds: int | None = Field(None, ge=2, le=20, description="of each trial; default 5")
    parallel: int | None = Field(
        None, ge=1, le=MAX_PARALLEL, description="trials at the same time; default 1"
    )
    stop_after: int | None = Field(
        None,
        ge=1,
        le=MAX_TRIALS,
        description="trials in a row without a better one, after which it ends",
    )
    seed: int | None = Field(None, ge=0, lt=2**32, description="default: that of the training")
    params: Annotated[dict[str, _VALUES], Field(min_length=1)] | None = Field(
        None,
        description="instead of all others but `n_iter`: for each parameter the values to try",
    )
    n_iter: int | None = Field(
        None, ge=1, le=MAX_CANDIDATES, description="of `params`: combinations to draw; else all"
    )

    @field_validator("space", mode="before")
    @classmethod
    def _space(cls, value: object) -> object:
        if value is None or value == DEFAULT or (isinstance(value, dict) and value):
            return value
        raise ValueError('must be "default", or an object of parameters that is not empty')

    @field_validator("model_types", mode="before")
    @classmethod
    def _types(cls, value: object) -> object:
        if value is None:
            return value
        if isinstance(value, list | dict) and 1 <= len(value) <= _MOST_TYPES:
            named: list[object] = list(value)
            if all(isinstance(name, str) for name in named):
                return value
        raise ValueError(f"must be an array of 1 to {_MOST_TYPES} names, or an object of spaces")

    @property
    def is_list(self) -> bool:
        """Whether it tries the combinations of lists."""
        return self.params is not None

    @property
    def combinations(self) -> int:
        """The number of different candidates of a list search."""
        return math.prod(len(values) for values in (self.params or {}).values())

    @property
    def candidates(self) -> int:
        """The most candidates that will be tried."""
        if self.is_list:
            return min(self.n_iter or self.combinations, self.combinations)
        return self.trials or 30

    @property
    def type_names(self) -> tuple[str, ...]:
        """The classifiers that it names itself."""
        return tuple(self.model_types or ())

    def space_of(self, name: str) -> Any:
        """Return the space of a classifier as it was sent."""
        if isinstance(self.model_types, dict):
            return self.model_types[name]
        if self.model_types is None or not isinstance(self.space, dict):
            return DEFAULT if self.space is None else self.space
        return self.space.get(name, DEFAULT)

    def excess(self) -> str:
        """Return what is wrong with the number of combinations; empty where it can be searched."""
        if self.candidates > MAX_CANDIDATES:
            return (
                f"makes {self.combinations:,} combinations; set n_iter to at most {MAX_CANDIDATES}"
            )
        if self.combinations > _MAX_COMBINATIONS:
            return f"makes more than {_MAX_COMBINATIONS:,} combinations; name fewer values"
        return ""
