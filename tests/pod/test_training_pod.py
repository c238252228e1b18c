"""The program in a pod: what it is given, what it tells meanwhile, and how it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.common.domain import DataSet, Training
from service.common.errors import RegistryUnavailable, WorkersUnavailable
from service.common.search import SearchState, Trial
from service.pod.training_pod import TrainingPod
from service.processes import job_files as files
from service.processes.job import Job
from service.processes.limits import JobLimits, LimitExceeded
from service.processes.messages import (
    Crashed,
    Done,
    News,
    Outcome,
    OverLimit,
    Progress,
    Rejected,
    SearchNews,
    to_json,
)
from service.training import handover
from service.training.spec import TrainingSpec
from tests.support.fakes import FakeRegistry

LIMITS = JobLimits(seconds=300, memory_bytes=2**31)
DONE = Done(to_json({"metrics": {}}))
STATE = SearchState("accuracy", trials=1, running=1, seconds_left=9.0)


def trial(number: int, **changes: Any) -> Trial:
    return replace(Trial(number, "SVC", {"C": 1.0}, "running", 100.0), **changes)


class FakeWorkers:
    """Workers whose training says what a test wants, writes a file, and ends."""

    def __init__(self, outcome: Outcome | None, news: Sequence[News] = ()) -> None:
        self.outcome = outcome
        self.news = news
        self.told: Mapping[str, Any] = {}
        self.limits = LIMITS
        self.others: list[Trial] = []

    def start(self, kind: str, folder: Path, spec: Mapping[str, Any], limits: JobLimits) -> Job:
        job = Job(1, 1, lambda _: None, folder, limits)
        if kind == "train":
            self.told, self.limits = spec, limits
            if (folder / files.OTHERS).exists():
                text = (folder / files.OTHERS).read_bytes()
                self.others = msgspec.json.decode(text, type=list[Trial])
            (folder / files.VERSION).mkdir()
            (folder / files.VERSION / "model.onnx").write_bytes(b"graph")
            for one in self.news:
                job.hear(one)
        if kind == "train" and self.outcome is None:
            job.outcome.set_exception(WorkersUnavailable())
        else:
            job.outcome.set_result(self.outcome if kind == "train" and self.outcome else DONE)
        return job


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "registry")
        self.training = self.open()
        self.pauses: list[float] = []

    def store(self) -> DataSet:
        """Store a data set of this name, which is too large to be read at a request."""
        rows = self.folder / "rows"
        rows.write_bytes(b"stored rows")
        return self.registry.add_data_set(DataSet("d", "0", 1, (), None, 0.0, bytes=11), rows)

    def open(self, *, search: SearchState | None = None, stored: DataSet | None = None) -> Training:
        opened = Training("", "running", 0.0, "m", owner="a", stage="starting", search=search)
        training = self.registry.open_training(opened, {})
        given = self.folder / "given"
        given.mkdir(exist_ok=True)
        (given / files.TABLE).write_bytes(b"rows")
        spec = TrainingSpec(
            *("m", "SVC", stored or DataSet("d", "0", 1, (), None, 0.0), True, given),
            request="{}",
            search=search,
            rows_are_stored=stored is not None,
        )
        handover.give(self.registry, training.id, spec)
        return training

    def run(
        self, workers: FakeWorkers, index: int = 0, pods: int = 1, patience: float = 60.0
    ) -> Outcome | None:
        folder = self.folder / f"pod-{index}"
        folder.mkdir()
        pod = TrainingPod(
            *(self.registry, workers, self.training.id, folder, LIMITS),  # type: ignore[arg-type]
            pause=self.pauses.append,
            patience=patience,
        )
        pod.run(index, pods)
        return handover.outcome_of(self.registry, self.training.id)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_the_job_has_made_is_handed_back_with_its_outcome(scene: Scene) -> None:
    outcome = scene.run(FakeWorkers(DONE))

    assert outcome == DONE
    handover.take_made(scene.registry, scene.training.id, scene.folder / "made")
    assert (scene.folder / "made" / files.VERSION / "model.onnx").read_bytes() == b"graph"


def test_the_job_is_told_what_was_asked_for_and_has_the_rows(scene: Scene) -> None:
    workers = FakeWorkers(DONE)

    scene.run(workers)

    assert workers.told == {
        "request": "{}",
        "training_seconds": LIMITS.seconds,
        "training_memory": LIMITS.memory_bytes,
    }
    assert (scene.folder / "pod-0" / files.TABLE).read_bytes() == b"rows"


def test_rows_that_are_stored_are_fetched_by_the_pod(scene: Scene) -> None:
    data_set = scene.store()
    scene.training = scene.open(stored=data_set)
    workers = FakeWorkers(DONE)

    assert scene.run(workers) == DONE

    assert workers.told["data_set"] == "d"
    assert (scene.folder / "pod-0" / files.STORED).read_bytes() == b"stored rows"
    assert workers.limits.disk_bytes == LIMITS.disk_bytes + data_set.bytes


def test_rows_that_were_deleted_meanwhile_end_the_training_and_say_so(scene: Scene) -> None:
    scene.training = scene.open(stored=scene.store())
    scene.registry.delete_data_set("d")
    workers = FakeWorkers(DONE)

    outcome = scene.run(workers)

    assert isinstance(outcome, Rejected)
    assert "'d'" in outcome.detail
    assert workers.told == {}


def test_the_job_gets_what_the_program_leaves_of_the_pods_memory(scene: Scene) -> None:
    workers = FakeWorkers(DONE)

    scene.run(workers)

    assert 2**28 <= workers.limits.memory_bytes < LIMITS.memory_bytes - 2**26


def test_the_sentence_about_too_much_memory_is_about_the_pod(scene: Scene) -> None:
    outcome = scene.run(FakeWorkers(OverLimit(LimitExceeded.MEMORY)))

    assert outcome == Rejected("JobFailed", "It took more memory than the limit of 2 GiB.")


@pytest.mark.parametrize(
    "outcome", [Rejected("UnusableData", "One class."), Crashed("It met an internal error.")]
)
def test_what_went_wrong_is_handed_back_as_it_is(scene: Scene, outcome: Outcome) -> None:
    assert scene.run(FakeWorkers(outcome)) == outcome


def test_a_worker_host_that_ended_is_a_crash(scene: Scene) -> None:
    assert isinstance(scene.run(FakeWorkers(None)), Crashed)


def test_how_far_it_has_come_is_recorded_and_its_owner_stays(scene: Scene) -> None:
    scene.run(FakeWorkers(DONE, [Progress("fitting", 0.5)]))

    record = scene.registry.get_training(scene.training.id)
    assert (record.stage, record.progress) == ("fitting", 0.45)
    assert (record.owner, record.state) == ("a", "running")


def test_a_training_that_has_ended_is_not_done(scene: Scene) -> None:
    scene.registry.close_training(scene.training.closed("cancelled", "It was cancelled."))
    workers = FakeWorkers(DONE)

    assert scene.run(workers) is None
    assert workers.told == {}


def test_a_silent_mlflow_is_asked_again(scene: Scene) -> None:
    scene.registry.down = True

    def pause(seconds: float) -> None:
        scene.pauses.append(seconds)
        scene.registry.down = len(scene.pauses) < 3

    folder = scene.folder / "pod"
    folder.mkdir()
    workers: Any = FakeWorkers(DONE)
    TrainingPod(scene.registry, workers, scene.training.id, folder, LIMITS, pause).run(0, 1)

    assert scene.pauses == [1.0, 1.0, 1.0]
    assert handover.outcome_of(scene.registry, scene.training.id) == DONE


def test_an_mlflow_that_stays_silent_ends_the_pod(scene: Scene) -> None:
    scene.registry.down = True

    with pytest.raises(RegistryUnavailable):
        scene.run(FakeWorkers(DONE), patience=0.0)


def test_only_the_first_pod_of_a_search_hands_back_an_outcome(scene: Scene) -> None:
    scene.training = scene.open(search=STATE)

    assert scene.run(FakeWorkers(Done(to_json({}))), index=1, pods=2) is None
    assert scene.run(FakeWorkers(DONE), index=0, pods=2) == DONE


def test_each_pod_records_its_trials_and_reads_those_of_the_others(scene: Scene) -> None:
    scene.training = scene.open(search=STATE)
    ended = trial(1, state="complete", ended_at=101.0, value=0.5, values=(0.5,))
    first = FakeWorkers(DONE, [SearchNews(STATE, (ended, trial(3)))])
    scene.run(first, index=0, pods=2)
    assert (first.told["index"], first.told["pods"], first.others) == (0, 2, [])

    second = FakeWorkers(Done(to_json({})))
    scene.run(second, index=1, pods=2)

    assert [one.number for one in second.others] == [1, 3]
    assert second.others[0] == ended
    assert second.told["searched_seconds"] > 0


def test_a_pod_closes_the_trials_that_the_one_before_it_has_lost(scene: Scene) -> None:
    scene.training = scene.open(search=STATE)
    for number in (1, 2, 3):
        scene.registry.record_trial(scene.training, trial(number), None)

    workers = FakeWorkers(DONE)
    scene.run(workers, index=0, pods=2)

    states = {one.number: one for _, one in scene.registry.trials.values()}
    assert [states[number].state for number in (1, 2, 3)] == ["failed", "running", "failed"]
    assert states[1].reason == "Its pod was ended."
    assert [one.state for one in workers.others] == ["failed", "running", "failed"]


def test_a_slow_job_still_finds_what_the_pod_before_it_has_tried(scene: Scene) -> None:
    """It reads the file after the first look: what is not in it would be tried once more."""
    scene.training = scene.open(search=STATE)
    for number in (1, 2, 3):
        scene.registry.record_trial(scene.training, trial(number), None)

    scene.run(FakeWorkers(DONE), index=0, pods=2)

    text = (scene.folder / "pod-0" / files.OTHERS).read_bytes()
    trials = msgspec.json.decode(text, type=list[Trial])
    assert {one.number: one.state for one in trials} == {1: "failed", 2: "running", 3: "failed"}
