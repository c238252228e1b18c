"""Every error that the service raises on purpose; it knows no HTTP (`problems` gives the status).

ServiceError
    InvalidRequest          what the client sent is wrong; carries every problem found
        UnusableData        the rows sent for training cannot be trained on
    BodyTooLarge, UnsupportedMediaType
    NotFound                ModelNotFound, VersionNotFound, AliasNotFound, TrainingNotFound,
                            DataSetNotFound, ModelTypeNotFound, ServiceNotFound, TrafficNotFound
    Conflict                VersionInUse, VersionNotServable, DataSetConflict, IdempotencyConflict,
                            TrainingRefused, TrainingEnded, TrainingCancelled, EpochConflict,
                            NothingToCompare, TrafficRefused
    JobFailed, JobStopped
    Unauthorized, Forbidden, NotAPeer, ForeignOrigin
    Unavailable             NoModelInUse, RegistryUnavailable, ReplicaSilent, ReplicaDown,
                            ChangeUnderWay, EpochNotReached, QueueFull, NotReady, Overloaded,
                            StorageUnavailable, WorkersUnavailable, WorkerCrashed,
                            ClassifierUnavailable, TrainingLost, RateExceeded, DataSetBusy
    StartError              the process cannot start; its sentence is printed, no traceback
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def clip(text: object, limit: int = 64) -> str:
    """Shorten a text that a client sent to at most `limit` characters, before it is repeated."""
    full = str(text)
    return full if len(full) <= limit else full[: limit - 1] + "…"


def quoted(name: object, limit: int = 64) -> str:
    """Quote a name exactly as it was sent (`repr` would escape some characters), but shortened."""
    return f"'{clip(name, limit)}'"


def escape(key: object) -> str:
    """Write a key as a token of an RFC 6901 pointer, shortened."""
    return clip(key).replace("~", "~0").replace("/", "~1")


def pointer_to(path: Iterable[object]) -> str:
    """Write the keys and indexes that lead to a part of a body as an RFC 6901 pointer."""
    return "".join(f"/{escape(part)}" for part in path)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a body: an RFC 6901 pointer into it as sent, and a message."""

    pointer: str
    message: str


class ServiceError(Exception):
    """The root of the hierarchy; `str()` of it is a sentence for the client."""


class InvalidRequest(ServiceError):
    """What the client sent is wrong; `problems` lists everything that is."""

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        # A hint that ends a message ("did you mean 'x'?") ends the sentence too.
        super().__init__(f"{detail[:-2]}?" if detail.endswith("?.") else detail)
        self.problems = tuple(problems)


class UnusableData(InvalidRequest):
    """The rows are well formed, but no classifier can be trained on them."""


class InvalidInput(InvalidRequest):
    """A request for predictions is wrong; `features` names the features concerned."""

    def __init__(
        self, detail: str, problems: list[Problem], features: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(detail, problems)
        self.features = features


class BodyTooLarge(ServiceError):
    """A body, or the number of something in it, is over a limit."""

    def __init__(self, what: str, limit: int, unit: str, advice: str = "") -> None:
        more = f"; {advice}" if advice else ""
        super().__init__(f"{what} is over the limit of {limit:,} {unit}{more}.")


class UnsupportedMediaType(ServiceError):
    """The content type, or the encoding, is not one of those that the route reads."""

    def __init__(self, sent: str, accepted: Sequence[str] = (), advice: str = "") -> None:
        what_to_do = advice or f"send {', '.join(accepted)}"
        super().__init__(f"{sent or 'No Content-Type'} is not read here; {what_to_do}.")


class JobFailed(ServiceError):
    """A job ended without a result because it went over a limit."""


class NotFound(ServiceError):
    """The name is well formed, and nothing has it."""


class ModelNotFound(NotFound):
    """No model of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model {quoted(name)}.")


class VersionNotFound(NotFound):
    """The model has no such version."""

    def __init__(self, name: str, version: int | str) -> None:
        super().__init__(f"Model {quoted(name)} has no version {clip(version)}.")


class AliasNotFound(NotFound):
    """The model has no such alias."""

    def __init__(self, name: str, alias: str) -> None:
        super().__init__(f"Model {quoted(name)} has no alias {quoted(alias)}.")


class TrainingNotFound(NotFound):
    """No training of that id."""

    def __init__(self, training: str) -> None:
        super().__init__(f"There is no training {quoted(training)}.")


class DataSetNotFound(NotFound):
    """No data set of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no data set {quoted(name)}; GET /datasets lists them.")


class ModelTypeNotFound(NotFound):
    """No type of classifier of that name can be trained."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model type {quoted(name)}; GET /model-types lists them.")


class ServiceNotFound(NotFound):
    """No service of that name is served over gRPC."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no service {quoted(name)}.")


class TrafficNotFound(NotFound):
    """No second version is beside the one in use."""

    def __init__(self) -> None:
        super().__init__("There is no second version beside the one in use (GET /traffic).")


class Conflict(ServiceError):
    """The request is well formed, and conflicts with the present state."""


class VersionInUse(Conflict):
    """The version in use, or the second one beside it, cannot be deleted."""

    def __init__(self, name: str, version: int, is_second: bool = False) -> None:
        reason = "is in use; put another one in use first"
        if is_second:
            reason = "has traffic beside the one in use; end it first (DELETE /traffic)"
        super().__init__(f"Model {quoted(name)} version {version} {reason}.")


class VersionNotServable(Conflict):
    """The version exists, and cannot or must not be loaded."""

    def __init__(self, name: str, version: int, reason: str) -> None:
        end = "" if reason.endswith((".", "?")) else "."
        super().__init__(f"Model {quoted(name)} version {version} cannot be served: {reason}{end}")
        self.reason = reason


class DataSetConflict(Conflict):
    """A data set of that name is built in."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{quoted(name)} is the name of a built-in data set; choose another name.")


class IdempotencyConflict(Conflict):
    """An Idempotency-Key was sent again with another body."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used before with a different request.")


class TrainingRefused(Conflict):
    """A training failed by a conflict with the present state."""


class TrainingEnded(Conflict):
    """A training that has ended cannot be cancelled."""

    def __init__(self, training: str, state: str) -> None:
        super().__init__(f"Training {training} has already ended: it {state}.")


class TrainingCancelled(Conflict):
    """The training that the client waits for was cancelled."""

    def __init__(self, training: str) -> None:
        super().__init__(f"Training {training} was cancelled.")


class NothingToCompare(Conflict):
    """What a version is asked cannot be compared with its training."""

    def __init__(self, name: str, version: int, is_off: bool) -> None:
        reason = "it was registered by others, or trained by an older release; train it again"
        if is_off:
            reason = "SERVICE_SKEW_ROWS_PER_SECOND is 0, so that nothing is counted"
        super().__init__(
            f"Model {quoted(name)} version {version} has nothing to be compared with: {reason}."
        )


class TrafficRefused(Conflict):
    """A version cannot be put beside the one in use."""

    def __init__(self, name: str, version: int, reason: str) -> None:
        super().__init__(
            f"Model {quoted(name)} version {version} gets no traffic beside the one in use: "
            f"{reason}. Nothing has changed."
        )
        self.outcome = "unchanged"


class EpochConflict(Conflict):
    """Another change came before this one, which expected a certain epoch."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(
            f"expected_epoch is {clip(expected)}, but the epoch is {found}; nothing has changed."
        )
        self.found = found
        self.outcome = "unchanged"


class JobStopped(ServiceError):
    """A job was stopped on request."""


class NotAPeer(ServiceError):
    """A call under `/internal` that did not come from a replica."""

    def __init__(self) -> None:
        super().__init__("Calls under /internal/ are for replicas, which sign them.")


class Unauthorized(ServiceError):
    """A request without a valid key, where one is needed."""

    def __init__(self) -> None:
        super().__init__("This needs a key: send it as `Authorization: Bearer …`.")


class Forbidden(ServiceError):
    """A request with a key whose role is not sufficient."""

    def __init__(self, needed: str, role: str, what: str = "This") -> None:
        super().__init__(
            f"{what} needs a key of the role {quoted(needed)}; yours is of {quoted(role)}."
        )


class ForeignOrigin(ServiceError):
    """A change was requested by a page of another site, or under another name than this machine's.

    Raised only where no keys are needed: a page does not have the client's key.
    """

    def __init__(self, header: str, sent: str) -> None:
        reason = (
            "is another site, and only pages of this service may change anything"
            if header == "Origin"
            else "is not a name of this machine, and the service listens on this machine only"
        )
        super().__init__(
            f"{header} {clip(sent)} {reason}. With SERVICE_API_KEYS_FILE, keys decide instead."
        )


class Unavailable(ServiceError):
    """It cannot be done now; it may be possible after `retry_after` seconds."""

    retry_after = 2


class NoModelInUse(Unavailable):
    """No model has been put in use yet, or the one in use cannot be loaded."""

    def __init__(self, load_error: str | None = None) -> None:
        state = (
            f"The model in use is not served. {load_error}"
            if load_error
            else "No model is in use yet."
        )
        super().__init__(
            f"{state} Train one with POST /train, or put one that GET /models lists in use with "
            "POST /use-model."
        )


class RegistryUnavailable(Unavailable):
    """MLflow does not answer, or answers with an error of its own.

    `outcome` is that of a change: "unchanged", or "unknown" where MLflow's answer to the one call
    that commits it was lost and the entry could not be read back.
    """

    def __init__(self, reason: str, outcome: str = "unchanged") -> None:
        super().__init__(f"MLflow is unavailable: {reason}")
        self.reason = reason
        self.outcome = outcome


class ReplicaSilent(Unavailable):
    """A replica that may be serving did not answer in time, so nothing was changed."""

    def __init__(self, replica: str) -> None:
        super().__init__(f"Replica {replica} did not answer in time; nothing has changed.")
        self.outcome = "unchanged"


class ReplicaDown(Unavailable):
    """A replica refuses connections, so that it serves no client."""

    def __init__(self, replica: str) -> None:
        super().__init__(f"Replica {replica} is down.")


class ChangeUnderWay(Unavailable):
    """Another change of the model in use has not ended."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__("Another change of the model in use is under way; nothing has changed.")
        self.outcome = "unchanged"


class EpochNotReached(Unavailable):
    """This replica serves an older epoch than the client asks for."""

    retry_after = 1

    def __init__(self, wanted: int, served: int) -> None:
        super().__init__(f"X-Min-Epoch is {wanted}, and this replica serves epoch {served}.")


class WorkersUnavailable(Unavailable):
    """The worker process has ended; the next job starts another one."""

    def __init__(self) -> None:
        super().__init__("The process that reads rows and runs trainings has ended; send it again.")


class WorkerCrashed(Unavailable):
    """A worker process met a defect, which its log shows, or a signal ended it.

    `was_killed` says that the kernel killed it, as it does when the machine has no memory left.
    """

    def __init__(self, reason: str, was_killed: bool = False) -> None:
        super().__init__(reason)
        self.was_killed = was_killed


class ClassifierUnavailable(Unavailable):
    """The process of a native model has ended, and is being started again."""

    retry_after = 1

    def __init__(self) -> None:
        super().__init__(
            "The process that computes this model's predictions has ended and is being started "
            "again; send the request again."
        )


class TrainingLost(Unavailable):
    """A training failed by the service's fault."""

    retry_after = 3


class StorageUnavailable(Unavailable):
    """The disk cannot be written; nothing has been changed."""

    retry_after = 3
    outcome = "unchanged"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The service cannot write to its disk: {reason}.")


class QueueFull(Unavailable):
    """The queue of trainings is full."""

    retry_after = 3

    def __init__(self, queued: int) -> None:
        super().__init__(f"{queued} trainings are waiting already; try again later.")


class RateExceeded(Unavailable):
    """A key is used more often than its limit allows."""

    retry_after = 1

    def __init__(self, per_second: int) -> None:
        super().__init__(f"This key may ask {per_second} times a second; try again later.")


class NotReady(Unavailable):
    """The process is starting or stopping."""


class LargeUploadUnderWay(Unavailable):
    """Another large data set is being received; there is room for one at a time."""

    retry_after = 3
    outcome = "unchanged"

    def __init__(self) -> None:
        super().__init__(
            "Another large data set is being stored by this replica at the moment; nothing has "
            "changed, send it again."
        )


class DataSetBusy(Unavailable):
    """Other requests add rows to the same data set at the same time; nothing has been changed."""

    retry_after = 1
    outcome = "unchanged"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Other requests change data set {quoted(name)} at the moment; nothing has changed, "
            "send it again."
        )


class Overloaded(Unavailable):
    """The limit of concurrent predictions, or connections, is reached."""

    retry_after = 1

    def __init__(self, what: str = "predictions are under way") -> None:
        super().__init__(f"Too many {what}; try again.")


class ClientGone(Exception):
    """The client has left. Nobody is there to answer, so this is no ServiceError."""


class StartError(ServiceError):
    """The process cannot start: a setting, the data folder or the port is not usable."""


class UntrustedArtifact(ValueError):
    """A stored model has content that is not allowed, or is not what it claims to be."""
