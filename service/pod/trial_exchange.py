"""The trials of a search that several pods share: their own to MLflow, the others' from there.

Each pod has numbers of its own: that of index 1 of 3 pods makes trials 2, 5, 8, … So no two pods
make the same trial, whatever dies.
"""

import time

from service.common.domain import Training
from service.common.ports import Registry
from service.common.search import Trial
from service.processes.job import Job
from service.training.lost_trials import close_lost, is_of
from service.training.search_follower import SearchFollower, TrialRecords

_READ_SECONDS = 2.0
_READ_SHARE = 0.05
"""Of the time of a pod, for reading what others have tried: there may be a thousand of them."""


class TrialExchange:
    """Writes what this pod tries, and reads what others have tried."""

    def __init__(self, registry: Registry, training: Training, index: int, pods: int) -> None:
        """`index`: of this pod, from 0."""
        self._registry = registry
        self._training = training
        self._index = index
        self._pods = pods
        self._follower = SearchFollower(_Records(registry))
        self._others: list[Trial] = []
        self._before: list[Trial] = []
        """What pods that this one replaces have tried."""
        self._next_read = 0.0

    def close_lost(self) -> None:
        """End the trials that were running in a pod that this one replaces.

        Raises RegistryUnavailable.
        """
        close_lost(self._registry, self._training, self._index, self._pods)
        trials = self._registry.trials_of(self._training.id).values()
        self._before = [trial for trial in trials if self._is_mine(trial)]
        self._others = [trial for trial in trials if not self._is_mine(trial)]

    def all_trials(self) -> list[Trial]:
        """Return what was tried before this pod, and what others have tried."""
        return sorted([*self._before, *self._others], key=lambda trial: trial.number)

    def searched_seconds(self) -> float:
        """Return how long ago the first trial began; 0 before that."""
        begun = [trial.started_at for trial in self.all_trials()]
        return max(0.0, time.time() - min(begun)) if begun else 0.0

    def look(self, job: Job) -> list[Trial]:
        """Write some of what the job has tried; return what it did not try itself.

        Raises RegistryUnavailable.
        """
        self._training = self._follower.look(job, self._training)
        if self._pods > 1 and time.monotonic() >= self._next_read:
            start = time.monotonic()
            trials = self._registry.trials_of(self._training.id).values()
            self._others = [trial for trial in trials if not self._is_mine(trial)]
            end = time.monotonic()
            self._next_read = end + max(_READ_SECONDS, (end - start) / _READ_SHARE)
        return self.all_trials()

    def finish(self) -> None:
        """Write what is left of this pod's trials; raises RegistryUnavailable."""
        self._follower.finish(self._training)

    def _is_mine(self, trial: Trial) -> bool:
        return is_of(trial, self._index, self._pods)


class _Records(TrialRecords):
    """Records of trials alone: the state of the training is written by whom it belongs to."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
        """Record a trial; return the id of its record."""
        return self._registry.record_trial(training, trial, record)

    def update_training(self, training: Training) -> None:
        """Do nothing."""
