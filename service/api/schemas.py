"""The bodies that the API takes and gives, as OpenAPI shows them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.common.domain import Label
from service.schema.evaluation import Evaluation
from service.schema.train_request import TrainRequest


class Request(BaseModel):
    """A body that is taken: no other keys, and values of their own types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reply(BaseModel):
    """A body that is given: what it has is described."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ProblemItem(Reply):
    """One thing wrong with a body."""

    pointer: str = Field(description="RFC 6901 pointer into the body as sent")
    message: str


class ProblemReply(BaseModel):
    """RFC 9457 problem details; some errors add members of their own."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemItem] | None = None


class PredictRequest(Request):
    """Instances to classify."""

    instances: list[dict[str, float | str | bool | None] | list[float | str | bool | None]] = Field(
        min_length=1, description="objects keyed by feature, or arrays in the schema's order"
    )
    probabilities: bool = False


class PredictReply(Reply):
    """One prediction for each instance, in the order of the request."""

    model: str
    version: int
    predictions: list[Label]
    classes: list[Label] | None = None
    probabilities: list[list[float]] | None = None


class FeatureReply(Reply):
    """A feature that the model expects."""

    name: str
    type: Literal["number", "text", "boolean"]
    nullable: bool
    categories: list[str] | None = None
    minimum: float | None = Field(None, description="the smallest number in training")
    maximum: float | None = Field(None, description="the largest number in training")
    importance: float | None = Field(
        None,
        description="from 0 to 1: how well the feature alone tells the classes apart, not what the "
        "model does with it",
    )


class SchemaReply(Reply):
    """What the model in use expects."""

    model: str
    version: int
    epoch: int
    features: list[FeatureReply]
    classes: list[Label]
    example: dict[str, Any]


class AccessReply(Reply):
    """What a client may do."""

    keys: bool = Field(description="whether the service has keys")
    role: Literal["predict", "train", "admin"] = Field(
        description="of the request's key; each includes the rights of those before it"
    )


class HealthReply(Reply):
    """The event loop responds."""

    status: Literal["ok"]


class ReadyReply(Reply):
    """Predictions are answered, and from which version."""

    status: Literal["ready"]
    model: str
    version: int


class VersionReply(Reply):
    """A version of a model."""

    name: str
    version: int
    created_at: str = Field(description="RFC 3339")
    model_type: str | None
    metrics: dict[str, float]
    in_use: bool
    aliases: list[str]
    servable: bool | None = Field(description="null: not inspected yet")
    reason: str | None = Field(None, description="why it is not servable")


class VersionList(Reply):
    """Some of the versions, the newest first."""

    models: list[VersionReply]
    next_page_token: str | None
    stale: bool = Field(description="whether MLflow is down and this is the last known list")
    age_seconds: float


class VersionDetail(VersionReply):
    """A version with all that is known of it."""

    run_id: str | None
    params: dict[str, Any]
    sha256: dict[str, str]
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    example: dict[str, Any] | None = None
    training: str | None = None
    data_set: str | None = None
    evaluation: Evaluation | None = Field(
        None, description="how it did on the held-out rows, where its training recorded that"
    )


class NoteReply(Reply):
    """Something that was decided about the rows, for their owner to know."""

    column: str | None
    message: str


class ComparisonReply(Reply):
    """How a new version and the one in use answered the same held-out rows."""

    rows: int
    new: dict[str, float] = Field(description="metrics of the new version, before any refit")
    in_use: dict[str, float] | None = Field(
        description="metrics of the version in use; null, as are the counts, where it was not asked"
    )
    only_new_right: int | None
    only_in_use_right: int | None
    p_value: float | None = Field(description="of McNemar's exact test")
    verdict: Literal["better", "not better", "incomparable"]


class CandidateReply(Reply):
    """A trial of a search that has scored all its folds."""

    model_type: str
    params: dict[str, Any] = Field(description="those that were searched")
    value: float = Field(description="the mean of the metric over the folds")


class SearchReply(Reply):
    """How far a search has come."""

    metric: str
    trials: int = Field(description="those that have begun")
    running: int
    failed: int
    pruned: int = Field(description="those that were ended before their last fold")
    best: CandidateReply | None
    leaderboard: list[CandidateReply] = Field(description="the best first, at most 20")
    seconds_left: float | None = Field(description="until it ends; null before it begins")


class TrainingReply(Reply):
    """A training; what is not known yet is left out."""

    id: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    name: str
    model_type: str = Field(
        description="empty until a search of several classifiers has chosen one"
    )
    run_id: str
    created_at: str
    stage: str | None = None
    progress: float = Field(ge=0, le=1)
    finished_at: str | None = None
    error: str | None = None
    version: int | None = None
    metrics: dict[str, float] | None = None
    used: bool | None = Field(None, description="whether every replica confirms that it is in use")
    missing: list[str] | None = Field(
        None, description="the replicas that did not confirm it, where it was put in use"
    )
    seconds: dict[str, float] | None = None
    notes: list[NoteReply]
    comparison: ComparisonReply | None = Field(
        None, description="with the version that was in use, where `use` is `if-better`"
    )
    search: SearchReply | None = None


class ColumnFound(Reply):
    """A column of a file, as a training would see it."""

    name: str
    type: Literal["number", "text", "boolean"]
    missing: int
    distinct: int
    role: Literal["feature", "target", "excluded"]


class ClassFound(Reply):
    """A class of the target and the number of its rows."""

    label: Label
    rows: int


class DryRunReply(Reply):
    """What a training would see, and every reason why it would be refused."""

    rows: int
    columns: list[ColumnFound]
    classes: list[ClassFound]
    notes: list[NoteReply]
    errors: list[ProblemItem]


class TrainingList(Reply):
    """Some of the trainings, the newest first."""

    trainings: list[TrainingReply]
    next_page_token: str | None


class ColumnReply(Reply):
    """A column of a data set."""

    name: str
    type: Literal["number", "text", "boolean"]
    missing: int


class DataSetReply(Reply):
    """Rows kept under a name."""

    name: str
    sha256: str
    rows: int
    columns: list[ColumnReply]
    target: str | None
    created_at: str | None
    built_in: bool
    notes: list[NoteReply] = []


class DataSetList(Reply):
    """All data sets: those that scikit-learn ships, and the uploaded ones."""

    datasets: list[DataSetReply]


class ModelTypeReply(Reply):
    """A classifier that can be trained."""

    name: str
    summary: str
    probabilities: bool
    params: dict[str, dict[str, Any]]


class ModelTypeList(Reply):
    """All classifiers that can be trained."""

    model_types: list[ModelTypeReply]


class TrainBody(TrainRequest):
    """A training and its rows."""

    dataset: str | dict[str, Any] = Field(
        description='a name, or inline {"columns": […], "rows": [[…]]} or {"records": [{…}]}'
    )
