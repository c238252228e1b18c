"""A search as the serving process follows it: its state, and its trials as records in MLflow.

What changes is kept back and written in slices of time, so that neither a slow MLflow holds the
search up nor many quick trials take a core from predictions. A trial that ends between two slices
is written once, as it ended.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from service.common.domain import Training
from service.common.errors import RegistryUnavailable, TrainingNotFound
from service.common.search import Trial
from service.training.executor import TrainingJob

_PAUSE_SECONDS = 1.0
"""Between two slices of writing."""
_SLICE_SECONDS = 0.5
"""How long one slice takes at most."""
_LATE_SECONDS = 5.0
"""How long what is left is written for where the training has not succeeded."""
_STOPPED = "The training was ended while it ran."


class TrialRecords(Protocol):
    """What a search is recorded by; both raise RegistryUnavailable and TrainingNotFound."""

    def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
        """Record a trial as it is now; return the id of its record, which `record` is if any."""

    def update_training(self, training: Training) -> None:
        """Record the training, with the state of its search."""


class SearchFollower:
    """Follows the search of one training, on the thread of that training."""

    def __init__(self, registry: TrialRecords, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._job: TrainingJob | None = None
        self._waiting: dict[int, Trial] = {}
        """By number: what has changed and is not written."""
        self._records: dict[int, str] = {}
        """By number: the records of trials that had not ended when they were written."""
        self._next_slice = 0.0

    def look(self, job: TrainingJob, training: Training) -> Training:
        """Take over what the job has said of its search; write some of it if it is time.

        Return the training with the state of the search. What MLflow does not take now is written
        later.
        """
        self._job = job
        if job.search is None:
            return training
        self._take(job)
        changed = replace(training, search=job.search)
        if self._clock() >= self._next_slice:
            with contextlib.suppress(RegistryUnavailable, TrainingNotFound):
                self._write(changed, self._clock() + _SLICE_SECONDS)
                if changed != training:
                    changed = replace(changed, beat_at=time.time())
                    self._registry.update_training(changed)
            self._next_slice = self._clock() + _PAUSE_SECONDS
        return changed

    def finish(self, training: Training, seconds: float = _LATE_SECONDS) -> Training:
        """Write what is left, for at most that long, and return the training after its search.

        Raises RegistryUnavailable.
        """
        if self._job is not None:
            self._take(self._job)
            training = replace(training, search=self._job.search or training.search)
        if training.search is not None:
            training = replace(training, search=training.search.ended())
        for number, trial in self._waiting.items():
            if trial.state == "running":
                self._waiting[number] = replace(
                    trial, state="pruned", ended_at=time.time(), reason=_STOPPED
                )
        self._write(training, self._clock() + seconds)
        return training

    @property
    def unwritten(self) -> int:
        """The number of trials that are not written as they are."""
        return len(self._waiting)

    def _take(self, job: TrainingJob) -> None:
        while job.trials:
            trial = job.trials.popleft()
            if trial.state != "running" or trial.number not in self._records:
                self._waiting[trial.number] = trial

    def _write(self, training: Training, until: float) -> None:
        for number, trial in list(self._waiting.items()):
            if self._clock() >= until:
                return
            record = self._registry.record_trial(training, trial, self._records.get(number))
            del self._waiting[number]
            if trial.state == "running":
                self._records[number] = record
            else:
                self._records.pop(number, None)
