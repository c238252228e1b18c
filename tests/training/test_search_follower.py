"""A search as the serving process records it: batched, complete, and never left open."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import Training
from service.common.errors import RegistryUnavailable
from service.common.metrics import Metrics
from service.common.search import SearchState, Trial
from service.processes.job import Job
from service.processes.limits import JobLimits
from service.processes.messages import SearchNews
from service.training.heartbeats import ORPHAN_SECONDS, Heartbeats
from service.training.search_follower import SearchFollower
from tests.support.fakes import FakeRegistry

BEGUN = Trial(1, "SVC", {"C": 1.0}, "running", 100.0)
STATE = SearchState("accuracy")


def trial(number: int, *, ended: bool = True) -> Trial:
    begun = replace(BEGUN, number=number)
    return replace(begun, state="complete", ended_at=101.0, value=0.5) if ended else begun


class Scene:
    """A training with a search, followed by a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.registry = FakeRegistry(folder)
        opened = Training("", "running", 0.0, owner="b", search=STATE)
        self.training = self.registry.open_training(opened, {})
        self.now = 0.0
        self.follower = SearchFollower(self.registry, lambda: self.now)
        self.job = Job(1, 1, lambda _: None, folder, JobLimits(60, 2**30))

    def hear(self, *trials: Trial, running: int = 0) -> None:
        state = replace(STATE, trials=len(trials), running=running, seconds_left=5.0)
        self.job.hear(SearchNews(state, trials))

    def look(self) -> None:
        self.training = self.follower.look(self.job, self.training)

    @property
    def states(self) -> list[str]:
        return [one.state for _, one in self.registry.trials.values()]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_other_replicas_see_the_state_of_a_search_that_runs(scene: Scene) -> None:
    scene.hear(trial(1), trial(2, ended=False), running=1)

    scene.look()

    assert scene.training.search is not None
    assert (scene.training.search.trials, scene.training.search.running) == (2, 1)
    assert scene.registry.get_training(scene.training.id) == scene.training


def test_a_trial_that_ends_between_two_times_of_writing_is_written_once(scene: Scene) -> None:
    scene.look()
    scene.hear(*(trial(number, ended=False) for number in range(1, 9)))
    scene.look()
    scene.now += 0.2
    scene.hear(*map(trial, range(1, 9)))
    scene.look()
    assert scene.states == ["running"] * 8

    scene.now += 5
    scene.hear(trial(9, ended=False))
    scene.hear(trial(9))
    scene.look()

    assert scene.states == ["complete"] * 9
    assert scene.registry.trial_writes == 8 + 8 + 1


def test_writing_stops_after_a_slice_of_time_and_the_rest_follows(scene: Scene) -> None:
    class Slow(FakeRegistry):
        def record_trial(self, training: Training, trial: Trial, record: str | None) -> str:
            scene.now += 0.2
            return super().record_trial(training, trial, record)

    scene.registry.__class__ = Slow
    scene.hear(*map(trial, range(1, 11)))

    scene.look()
    assert 0 < len(scene.states) < 10

    scene.follower.finish(scene.training, 60)

    assert scene.states == ["complete"] * 10
    assert scene.follower.unwritten == 0


def test_what_an_mlflow_that_is_down_does_not_take_is_written_later(scene: Scene) -> None:
    scene.registry.down = True
    scene.hear(trial(1))
    scene.look()
    with pytest.raises(RegistryUnavailable):
        scene.follower.finish(scene.training)
    scene.registry.down = False

    scene.follower.finish(scene.training)

    assert scene.states == ["complete"]


def test_the_end_of_a_training_is_the_end_of_the_trials_that_run(scene: Scene) -> None:
    scene.hear(trial(1, ended=False), trial(2, ended=False), running=2)
    scene.look()
    scene.hear(trial(3, ended=False), running=3)

    training = scene.follower.finish(scene.training)
    scene.registry.close_training(training)

    assert scene.states == ["pruned"] * 3
    assert training.search is not None
    assert (training.search.running, training.search.pruned) == (0, 3)


def test_whoever_closes_an_orphan_closes_its_trials(scene: Scene) -> None:
    scene.hear(trial(1), trial(2, ended=False), running=1)
    scene.look()
    scene.registry.beat(scene.training.id, 0.0)

    def none() -> Iterable[object]:
        return []

    other = Heartbeats("a", scene.registry, Metrics(), none)  # type: ignore[arg-type]
    other.close_orphans(ORPHAN_SECONDS)

    closed = scene.registry.get_training(scene.training.id)
    assert closed.state == "failed"
    assert closed.search is not None
    assert closed.search.running == 0
    assert sorted(scene.states) == ["complete", "pruned"]
