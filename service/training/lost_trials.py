"""The trials that were running in a pod of a search when the pod ended."""

import time
from dataclasses import replace

from service.common.domain import Training
from service.common.ports import Registry
from service.common.search import Trial

_LOST = "Its pod was ended."


def close_lost(registry: Registry, training: Training, index: int, pods: int) -> None:
    """Record as failed what is recorded as running of the pod with an index, of that many.

    Raises RegistryUnavailable or TrainingNotFound.
    """
    for record, trial in registry.trials_of(training.id).items():
        if trial.state == "running" and is_of(trial, index, pods):
            ended = replace(trial, state="failed", ended_at=time.time(), reason=_LOST)
            registry.record_trial(training, ended, record)


def is_of(trial: Trial, index: int, pods: int) -> bool:
    """Return whether a trial is that of the pod with an index: numbers are dealt out in turn."""
    return (trial.number - 1) % pods == index
