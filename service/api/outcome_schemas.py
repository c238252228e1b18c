"""The bodies of `/outcomes`, as OpenAPI shows them."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, PlainValidator, ValidationInfo, field_validator

from service.api.parameters import ModelName, Name
from service.api.schemas import Reply, Request
from service.common.domain import Label
from service.common.outcomes import MOST_CONFUSED

MOST_VERSION = 999_999_999
"""The largest number of a version that can be asked for."""


def _listed(value: object, info: ValidationInfo) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of {info.field_name}")
    if not value:
        raise ValueError("is empty")
    return value


class OutcomesRequest(Request):
    """Instances and what was really so of each."""

    # The items of both lists are not looked at here: they may be many, and what they must be
    # depends on the version. So nothing is checked, or copied, that is read again.

    name: ModelName | None = Field(None, description="the model's; else that of the one in use")
    version: int = Field(ge=1, le=MOST_VERSION, description="the version that answers again")
    instances: Annotated[
        list[Any],
        PlainValidator(
            _listed,
            json_schema_input_type=Annotated[list[dict[str, Any] | list[Any]], Field(min_length=1)],
        ),
    ] = Field(description="as in POST /predict")
    labels: Annotated[
        list[Any],
        PlainValidator(_listed, json_schema_input_type=Annotated[list[Label], Field(min_length=1)]),
    ] = Field(description="the true class of each instance, of the type of the classes")
    append_to: Name | None = Field(
        None, description="a data set to whose rows these are added, with the labels as its target"
    )

    @field_validator("labels")
    @classmethod
    def _one_a_row(cls, labels: list[Any], info: ValidationInfo) -> list[Any]:
        instances = info.data.get("instances", labels)  # left out where they are wrong themselves
        if len(instances) != len(labels):
            raise ValueError(f"has {len(labels):,} labels for {len(instances):,} instances")
        return labels


class CalibrationReply(Reply):
    """The rows whose largest probability lies in one tenth of 0 to 1."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    from_: float = Field(alias="from", description="exclusive")
    to: float
    rows: int
    predicted: float = Field(description="the mean of these probabilities")
    observed: float = Field(description="the share of rows that are of the class so predicted")
    low: float = Field(description="of the 95 % interval (Wilson's) of `observed`")
    high: float


class OutcomesReply(Reply):
    """How right a version was on the outcomes of one day, by all replicas."""

    name: str
    version: int
    day: str = Field(description="in UTC, when the outcomes were posted")
    rows: int
    classes: list[Label] | None = Field(description="null for too many classes, as is `confusion`")
    confusion: list[list[int]] | None = Field(
        description="rows by true class, then by predicted one, in the order of `classes`; null "
        f"for more than {MOST_CONFUSED}"
    )
    accuracy: float
    balanced_accuracy: float
    f1: float = Field(description="the mean over the classes that occur or are predicted")
    log_loss: float | None = Field(description="null without probabilities, as is what follows")
    brier: float | None = Field(description="summed over the classes")
    calibration: list[CalibrationReply] | None = Field(
        description="of the class that is given the largest probability; tenths that have rows"
    )


class AppendedReply(Reply):
    """The content of a data set after rows were added to it."""

    name: str
    sha256: str
    rows: int


class CountedReply(Reply):
    """What was counted of a request, and the figures of its day with it."""

    name: str
    version: int
    day: str
    rows: int = Field(description="of this request")
    outcomes: OutcomesReply
    data_set: AppendedReply | None = Field(
        None, description="to which the rows were added, if that was asked for"
    )


class OutcomesList(Reply):
    """The outcomes of a model by day and version, the newest first."""

    outcomes: list[OutcomesReply]
    training: dict[str, float] | None = Field(
        description="the metrics of the training of the version asked for, else of the first that "
        "is listed"
    )
