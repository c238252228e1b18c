"""What every training needs."""

from dataclasses import dataclass

from service.common.domain import Fault
from service.common.errors import Conflict, InvalidRequest, JobFailed, ServiceError
from service.common.ports import Registry
from service.processes.limits import JobLimits
from service.processes.pool import WorkerPool
from service.rollout.coordinator import Coordinator
from service.serving.current_model import CurrentModel
from service.training.executor import Executor


@dataclass(frozen=True, slots=True)
class Limits:
    """How many trainings there may be, and what each may take."""

    at_once: int
    queued: int
    each: JobLimits


@dataclass(frozen=True, slots=True)
class TrainingServices:
    """What every training needs."""

    registry: Registry
    workers: WorkerPool
    """Read the rows that it held out, for a comparison."""
    coordinator: Coordinator
    current_model: CurrentModel
    limits: Limits
    executor: Executor
    """Runs the job that trains."""


def fault_of(error: ServiceError) -> Fault:
    """Return whose fault it is that a training failed with an error."""
    if isinstance(error, InvalidRequest | JobFailed):
        return "request"
    return "conflict" if isinstance(error, Conflict) else "service"
