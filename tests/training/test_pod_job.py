"""A training's Job as a replica follows it: created once, told live, ended with a sentence."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from service.common.domain import Training
from service.common.errors import (
    JobFailed,
    JobStopped,
    RegistryUnavailable,
    TrainingNotFound,
    UnusableData,
    WorkerCrashed,
)
from service.common.search import SearchState, Trial, TrialState
from service.kubernetes.cluster import JobStatus, PodStatus
from service.kubernetes.manifest import OF, TRAINING
from service.processes import job_files as files
from service.processes.limits import JobLimits
from service.processes.messages import Done, Outcome, Rejected, to_json
from service.training import handover
from service.training.executor import JOB_SHARE, TrainingGone
from service.training.pod_job import PodJob, Pods
from tests.support.cluster import NAME, FakeCluster, template
from tests.support.fakes import FakeRegistry

LIMITS = JobLimits(seconds=300, memory_bytes=2**31)
RUNNING = PodStatus("p", "Running")


def no_pause(woken: threading.Event, seconds: float) -> None:
    """Wait for nothing."""


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = FakeRegistry(folder / "registry")
        self.cluster = FakeCluster()
        self.template = template(folder)
        self.training = self.open()
        self.most = 4
        self.job = self.follow()

    def open(self) -> Training:
        return self.registry.open_training(
            Training("", "queued", 0.0, name="m", owner="a", stage="waiting"), {}
        )

    def follow(self, parallel: int = 1, limits: JobLimits = LIMITS) -> PodJob:
        pods = Pods(self.cluster, self.template, self.most)
        training = self.registry.get_training(self.training.id)
        return PodJob(pods, self.registry, training, parallel, self.folder, limits, no_pause)

    @property
    def name(self) -> str:
        return self.template.name_of(self.training.id)

    def look(self, job: PodJob | None = None, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(TimeoutError):
                (job or self.job).wait(0)

    def other(self, parallelism: int, created: str = "0000") -> str:
        """Add the Job of another training."""
        labels = {OF: NAME, TRAINING: "f" * 32}
        status = JobStatus("other", labels, created=created, parallelism=parallelism)
        self.cluster.jobs["other"] = status
        return "other"

    def end(self, outcome: Outcome) -> None:
        made = self.folder / "made"
        (made / files.VERSION).mkdir(parents=True, exist_ok=True)
        (made / files.VERSION / "model.onnx").write_bytes(b"graph")
        handover.give_outcome(self.registry, self.training.id, made, outcome)
        self.cluster.end(self.name)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_job_is_created_once_and_followed_to_its_result(scene: Scene) -> None:
    scene.look(times=2)
    assert list(scene.cluster.manifests) == [scene.name]
    assert scene.job.waiting == "waiting for a pod"
    scene.cluster.pods[scene.name] = [RUNNING]
    scene.registry.record_progress(scene.training.id, "fitting", 0.45, None)
    scene.look(times=2)
    assert scene.job.waiting == ""
    assert scene.job.progress is not None
    assert scene.job.progress.stage == "fitting"
    assert scene.job.progress.share * JOB_SHARE == pytest.approx(0.45)

    scene.end(Done(to_json({"metrics": {"accuracy": 1.0}})))

    assert scene.job.wait(0) == {"metrics": {"accuracy": 1.0}}
    assert (scene.folder / files.VERSION / "model.onnx").read_bytes() == b"graph"
    assert scene.cluster.deleted == []


def test_a_job_belongs_to_the_release_so_that_it_is_removed_with_it(scene: Scene) -> None:
    scene.look()

    owner = scene.cluster.manifests[scene.name]["metadata"]["ownerReferences"][0]
    assert (owner["name"], owner["uid"]) == (NAME, "owner")


def test_a_job_that_another_replica_has_created_is_followed(scene: Scene) -> None:
    scene.look()
    again = scene.follow()

    scene.look(again, times=2)

    assert len(scene.cluster.manifests) == 1
    scene.end(Done(to_json({})))
    assert again.wait(0) == {}


def test_what_the_job_finds_wrong_is_raised_as_it_is(scene: Scene) -> None:
    scene.look()

    scene.end(Rejected("UnusableData", "One class is not enough."))

    with pytest.raises(UnusableData, match=r"One class is not enough\."):
        scene.job.wait(0)


def test_an_outcome_counts_whatever_kubernetes_says_of_the_job(scene: Scene) -> None:
    scene.look()
    scene.end(Done(to_json({})))
    scene.cluster.end(scene.name, "FailedIndexes")

    assert scene.job.wait(0) == {}


def test_an_outcome_counts_where_the_job_was_removed_after_its_time(scene: Scene) -> None:
    scene.registry.update_training(replace(scene.training, state="running"))
    scene.job = scene.follow()
    handover.give_outcome(scene.registry, scene.training.id, scene.folder, Done(to_json({})))

    assert scene.job.wait(0) == {}


def test_a_job_that_was_deleted_is_told_and_not_created_again(scene: Scene) -> None:
    scene.look()
    scene.cluster.pods[scene.name] = [RUNNING]
    scene.look()
    del scene.cluster.jobs[scene.name]

    with pytest.raises(WorkerCrashed, match=r"Its Job was deleted in Kubernetes\."):
        scene.job.wait(0)

    assert len(scene.cluster.manifests) == 1


def test_a_pod_that_the_kernel_killed_is_told_as_too_much_memory(scene: Scene) -> None:
    scene.look()
    dead = PodStatus("p", "Failed", exit_code=137, ended_by="OOMKilled")

    scene.cluster.end(scene.name, "PodFailurePolicy", dead)

    with pytest.raises(JobFailed, match="more memory than its pod may have"):
        scene.job.wait(0)


def test_the_log_of_a_pod_that_died_is_told(scene: Scene) -> None:
    scene.look()
    scene.cluster.logs["p"] = "a line\nSERVICE_X is not a setting."

    scene.cluster.end(scene.name, "BackoffLimitExceeded", PodStatus("p", "Failed", exit_code=2))

    with pytest.raises(WorkerCrashed, match=r"status 2\. It wrote: a line\nSERVICE_X is not a"):
        scene.job.wait(0)


def test_a_job_past_its_deadline_is_told_with_the_limit(scene: Scene) -> None:
    scene.look()
    scene.cluster.pods[scene.name] = [RUNNING]
    scene.look()

    scene.cluster.end(scene.name, "DeadlineExceeded")

    with pytest.raises(JobFailed, match=r"It took longer than the limit of 300 s\."):
        scene.job.wait(0)


def test_a_job_that_never_had_a_pod_is_told_with_what_it_waited_for(scene: Scene) -> None:
    scene.look()
    waits = PodStatus("p", "Pending", waiting="ErrImagePull: no such image")
    scene.cluster.pods[scene.name] = [waits]
    scene.look()
    assert scene.job.waiting == "waiting: ErrImagePull: no such image"

    scene.cluster.end(scene.name, "DeadlineExceeded")

    with pytest.raises(WorkerCrashed, match="waited for 300 s and got no pod: ErrImagePull"):
        scene.job.wait(0)


def test_a_refused_job_waits_and_is_tried_again_until_its_time_is_up(scene: Scene) -> None:
    scene.cluster.refusal = 'jobs.batch "j" is forbidden: exceeded quota'
    scene.look()
    assert scene.job.waiting == 'waiting: jobs.batch "j" is forbidden: exceeded quota'

    scene.cluster.refusal = ""
    scene.look()
    assert scene.name in scene.cluster.manifests

    scene.cluster.jobs.pop(scene.name)
    scene.cluster.refusal = "exceeded quota"
    late = scene.follow(limits=replace(LIMITS, seconds=0))
    with pytest.raises(WorkerCrashed, match="waited for 0 s and got no pod: "):
        late.wait(0)


def test_no_more_pods_than_trainings_may_have(scene: Scene) -> None:
    other = scene.other(parallelism=3)
    scene.job = scene.follow(parallel=2)
    scene.look()
    assert scene.job.waiting == "waiting for other trainings to end"
    assert scene.cluster.manifests == {}

    scene.cluster.end(other)
    scene.look()

    assert scene.name in scene.cluster.manifests


def test_of_two_replicas_that_create_the_last_pods_at_one_time_one_gives_way(scene: Scene) -> None:
    create = scene.cluster.create_job

    def beside(manifest: object) -> None:
        scene.other(parallelism=4)
        create(manifest)  # type: ignore[arg-type]

    scene.cluster.create_job = beside  # type: ignore[method-assign]
    scene.look()

    assert scene.cluster.deleted == [scene.name]
    scene.look()
    assert scene.job.waiting == "waiting for other trainings to end"


def test_a_job_that_is_stopped_is_deleted(scene: Scene) -> None:
    scene.look()

    scene.job.stop("It was cancelled.")

    with pytest.raises(JobStopped, match=r"It was cancelled\."):
        scene.job.wait(0)
    assert scene.cluster.deleted == [scene.name]


def test_a_stop_is_repeated_until_the_api_server_takes_it(scene: Scene) -> None:
    scene.look()
    scene.job.stop("It was cancelled.")
    scene.cluster.down = True
    scene.look()

    scene.cluster.down = False

    with pytest.raises(JobStopped):
        scene.job.wait(0)
    assert scene.cluster.deleted == [scene.name]


@pytest.mark.parametrize("which", ["registry", "cluster"])
def test_neither_mlflow_nor_the_api_server_ends_a_job_by_its_silence(
    scene: Scene, which: str
) -> None:
    scene.look()
    getattr(scene, which).down = True
    scene.look(times=3)
    getattr(scene, which).down = False

    scene.end(Done(to_json({})))

    assert scene.job.wait(0) == {}


def test_a_training_that_another_replica_has_taken_is_let_go(scene: Scene) -> None:
    scene.look()

    scene.registry.update_training(replace(scene.training, owner="b"))

    with pytest.raises(TrainingGone):
        scene.job.wait(0)
    assert scene.cluster.deleted == []


def test_a_training_that_another_replica_has_ended_is_let_go(scene: Scene) -> None:
    scene.look()

    scene.registry.close_training(scene.training.closed("cancelled", "It was cancelled."))

    with pytest.raises(TrainingGone):
        scene.job.wait(0)


def test_the_job_of_a_training_that_was_deleted_in_mlflow_is_deleted(scene: Scene) -> None:
    scene.look()

    del scene.registry.trainings[scene.training.id]

    with pytest.raises(TrainingNotFound):
        scene.job.wait(0)
    assert scene.cluster.deleted == [scene.name]


def test_the_last_state_of_a_search_is_that_of_its_end(scene: Scene) -> None:
    scene.look()
    state = SearchState("accuracy", trials=5, running=1, seconds_left=3.0)
    scene.registry.record_progress(scene.training.id, "search", 0.4, state)

    scene.end(Done(to_json({})))
    scene.job.wait(0)

    assert scene.job.search == replace(state, running=0, pruned=1, seconds_left=0.0)


def test_the_trial_of_a_pod_that_does_not_come_back_is_closed(scene: Scene) -> None:
    job = scene.follow(parallel=2)
    scene.look(job)
    for number in (1, 2, 3, 4):
        state: TrialState = "complete" if number < 3 else "running"
        trial = Trial(number, "GaussianNB", {}, state, started_at=1.0)
        scene.registry.record_trial(scene.training, trial, None)
    status = scene.cluster.jobs[scene.name]
    scene.cluster.jobs[scene.name] = replace(status, failed_indexes=frozenset({1}))

    scene.look(job, times=2)

    trials = scene.registry.trials_of(scene.training.id).values()
    assert {trial.number: trial.state for trial in trials} == {
        **{1: "complete", 2: "complete"},
        **{3: "running", 4: "failed"},
    }
    assert [trial.reason for trial in trials if trial.number == 4] == ["Its pod was ended."]
    assert scene.registry.trial_writes == 5


def test_an_outcome_that_is_no_outcome_is_a_fault_of_the_registry(scene: Scene) -> None:
    scene.registry.write_file(scene.training.id, "job/outcome.json", b"{")

    with pytest.raises(RegistryUnavailable, match="outcome of a training is unreadable"):
        handover.outcome_of(scene.registry, scene.training.id)


def test_nothing_is_left_of_what_was_handed_over(scene: Scene) -> None:
    scene.look()
    scene.end(Done(to_json({})))

    handover.remove(scene.registry, scene.training.id)

    report = scene.registry.report(scene.training.id)
    assert [path for path in report.rglob("*") if path.is_file()] == []


def test_a_pause_of_a_second_lies_between_two_looks(scene: Scene) -> None:
    pauses: list[float] = []
    pods = Pods(scene.cluster, scene.template, 4)
    job = PodJob(
        *(pods, scene.registry, scene.training, 1, scene.folder, LIMITS),
        pause=lambda _, seconds: pauses.append(seconds),
    )

    scene.look(job, times=2)

    assert pauses == [1.0, 1.0]
