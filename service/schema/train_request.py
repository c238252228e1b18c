"""What a client may ask of `POST /train`, apart from its rows: one model for OpenAPI and the check.

What a classifier itself takes (its parameters, their bounds) is checked in `worker.learning`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from service.common.domain import (
    IF_BETTER,
    LOG_OF_USE,
    NEW_MODEL_NAME,
    UseWish,
    is_new_model_name,
)
from service.schema.file_options import FileOptions
from service.schema.search import Search


def _check_name(name: str) -> str:
    if name == LOG_OF_USE:
        raise ValueError(f"is taken: no model is called {LOG_OF_USE!r}")
    if not is_new_model_name(name):
        raise ValueError(
            "must be 1 to 128 letters, digits, '_' or '-'; MLflow takes no other in a model's name"
        )
    return name


class TrainRequest(FileOptions):
    """A training: a classifier, its parameters, and how it is measured."""

    name: Annotated[str, AfterValidator(_check_name)] | None = Field(
        None,
        description="the model's; else the data set's, with '-' for '.'",
        json_schema_extra={"pattern": f"^{NEW_MODEL_NAME}$"},
    )
    model_type: str | None = Field(None, description="one of GET /model-types; else that in use")
    params: dict[str, Any] = Field({}, description="of the classifier: see GET /model-types")
    target: str | None = Field(
        None, min_length=1, description="the column to predict; else the data set's own"
    )
    test_size: float = Field(0.2, gt=0, lt=1, description="the share of rows held out to measure")
    seed: int = Field(0, ge=0, lt=2**32)
    preprocessing: Literal["auto", "none"] = "auto"
    cv: int | None = Field(None, ge=2, le=20, description="folds of a cross-validation")
    search: Search | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = Field(
        None, description='"balanced", or a weight for each class'
    )
    unknown_categories: Literal["refuse", "ignore"] = "refuse"
    refit: bool = Field(False, description="fit again on all rows after it was measured")
    use: UseWish | None = Field(
        None,
        description="put it in use when it is ready; default true. `if-better`: only if it answers "
        "the held-out rows better than the version in use",
    )
    wait: float | None = Field(
        None, ge=0, le=300, description="seconds to wait for the end; default 30"
    )
    dry_run: bool = Field(False, description="train nothing; return what training would see")

    @property
    def type_names(self) -> tuple[str, ...]:
        """The classifiers that may be trained: one, or those of a search; empty: none is named."""
        if self.search is not None and self.search.type_names:
            return self.search.type_names
        return () if self.model_type is None else (self.model_type,)

    @property
    def search_folds(self) -> int:
        """The number of folds of each trial of a search; 0 where there is none."""
        if self.search is None:
            return 0
        return (self.cv if self.search.is_list else self.search.folds) or 5

    @property
    def folds(self) -> int:
        """The most folds of a search or a cross-validation; 0 where there is neither."""
        return max(self.cv or 0, self.search_folds)

    @field_validator("use", mode="before")
    @classmethod
    def _wish(cls, value: object) -> object:
        if value is None or isinstance(value, bool) or value == IF_BETTER:
            return value
        raise ValueError(f'must be true, false or "{IF_BETTER}"')

    @field_validator("class_weight", mode="before")
    @classmethod
    def _weights(cls, value: object) -> object:
        if value is None or value == "balanced":
            return value
        if not isinstance(value, Mapping) or not value:
            raise ValueError('must be "balanced", or an object of class and weight')
        for label, weight in value.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not 0 < weight <= 1e6:
                raise ValueError(f"of {label[:64]!r} must be a number more than 0, to 1,000,000")
        return value
