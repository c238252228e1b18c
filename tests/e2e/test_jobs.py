"""Trainings as Jobs of Kubernetes: they outlive pods of the API and their own, and end once."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.forward import open_api
from tests.e2e.jobs import Runs, Trainings, most_memory, network, open_runs, timed
from tests.e2e.load import Load
from tests.e2e.test_trainings import noise
from tests.e2e.waiting import wait_until

RATE = 20
MEBI = 2**20
TRIALS = 40
LOST = "Its pod was ended."


SEARCH: Mapping[str, Any] = {
    "name": "searched",
    "dataset": "digits",
    "model_type": "ExtraTreesClassifier",
    "params": {"n_estimators": 100},
    "search": {
        "space": {"max_depth": {"low": 8, "high": 32}, "max_features": {"low": 0.2, "high": 1}},
        "trials": TRIALS,
        "parallel": 2,
        "folds": 3,
    },
    "use": False,
}

WIDE: Mapping[str, Any] = {
    "name": "wide",
    "target": "label",
    "model_type": "MLPClassifier",
    "params": {"hidden_layer_sizes": [2000, 50], "batch_size": 32_000, "max_iter": 2},
    "use": False,
}
"""A network whose activations take 1 GiB and more, and whose weights take 2 MB."""


@pytest.fixture
def trainings(with_jobs: Cluster, api: httpx.Client) -> Trainings:
    return Trainings(with_jobs, api)


@pytest.fixture(scope="module")
def runs(release: Cluster) -> Iterator[Runs]:
    with open_runs(release) as found:
        yield found


@pytest.fixture(scope="module")
def first(with_jobs: Cluster) -> str:
    """Begin a training, whose Job is looked at again at the end."""
    body = {"name": "first", "dataset": "iris", "model_type": "GaussianNB", "use": False}
    with open_api(with_jobs) as client:
        trainings = Trainings(with_jobs, client)
        training = trainings.begin(body)
        assert trainings.jobs(training) or trainings.running_pod(training)
        assert trainings.wait_for_end(training, 90)["state"] == "succeeded"
    return training


@pytest.mark.usefixtures("iris", "first")
def test_a_training_runs_in_a_pod_of_its_own_and_its_version_is_used_everywhere(
    trainings: Trainings, runs: Runs, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """No file of what was handed over is left, and predictions go on."""
    release = trainings.release
    body = {"name": "iris", "dataset": "iris", "model_type": "DecisionTreeClassifier"}
    with load.start(RATE, 30, example) as sending:
        training = trainings.begin(body)
        assert trainings.running_pod(training)
        ended = trainings.wait_for_end(training, 90)
        result = sending.result()
    note(f"{ended['seconds']['total']:.1f} s; beside it {result}")

    assert (ended["state"], ended["used"]) == ("succeeded", True)
    release.wait_served("iris", ended["version"])
    assert result.failed == 0, result.failures
    assert [runs.files(training, folder) for folder in ("job", "job/in", "job/out")] == [[]] * 3


def begun(runs: Runs, training: str, index: int) -> list[dict[str, str]]:
    """Return the trials that one of two pods is making, as far as MLflow knows."""
    return [
        trial
        for trial in runs.trials(training)
        if trial["trial_state"] == "running" and (int(trial["trial"]) - 1) % 2 == index
    ]


@pytest.mark.parametrize(
    ("index", "at_once"), [(1, True), (0, False)], ids=["second-forced", "first-told"]
)
def test_a_search_whose_pod_is_killed_makes_each_trial_once(
    trainings: Trainings, runs: Runs, note: Note, index: int, at_once: bool
) -> None:
    """One of two pods is killed in the middle: that costs the trial that it was making."""
    training = trainings.begin(SEARCH)
    pod = trainings.running_pod(training, index)
    wait_until(
        "trials of both pods",
        lambda: (trainings.read(training) or {}).get("search", {}).get("trials", 0) >= 8,
        90,
        seen=lambda: trainings.read(training),
    )
    wait_until("a trial in the pod", lambda: begun(runs, training, index), 60, pause=0.1)
    trainings.release.delete_pod(pod, at_once=at_once)
    trainings.running_pod(training, index, besides=pod)
    ended = trainings.wait_for_end(training, 240)
    trials = runs.trials(training)

    lost = [trial for trial in trials if trial.get("reason") == LOST]
    search = ended["search"]
    note(f"{ended['seconds']['total']:.1f} s, {len(lost)} lost, {search['pruned']} pruned")
    assert ended["state"] == "succeeded", ended
    assert sorted(int(trial["trial"]) for trial in trials) == list(range(1, TRIALS + 1))
    assert (search["trials"], search["running"]) == (TRIALS, 0)
    # What a slow MLflow has not been told of a trial's end by then is lost as well.
    assert len(lost) <= 3
    assert {(int(trial["trial"]) - 1) % 2 for trial in lost} <= {index}
    assert {trial["trial_state"] for trial in lost} <= {"failed"}
    assert search["failed"] == len(lost)
    assert "RUNNING" not in {trial["status"] for trial in trials}
    values = [each["value"] for each in search["leaderboard"]]
    assert len(values) > 1
    assert values == sorted(values)
    assert search["best"]["value"] == values[0]


@pytest.mark.usefixtures("iris")
def test_a_rollout_of_the_api_leaves_a_training_to_another_replica(
    trainings: Trainings, runs: Runs, load: Load, example: Mapping[str, Any], note: Note
) -> None:
    """All API pods are replaced while it runs: it ends once, and no prediction fails."""
    release, name = trainings.release, "rolled"
    before = trainings.versions(name)
    with load.start(RATE, 90, example) as sending:
        training = trainings.begin(timed(name, 60))
        trainings.wait_for(training, "running", 60)
        owner = runs.tags(training)["owner"]
        release.restart("api")
        release.wait_rolled_out("api")
        assert (trainings.wait_for(training, "running", 30))["state"] == "running"
        ended = trainings.wait_for_end(training, 180)
        result = sending.result()
    note(f"{ended['seconds']['total']:.1f} s; beside it {result}")

    assert ended["state"] == "succeeded", ended
    assert runs.tags(training)["owner"] != owner
    assert len(trainings.versions(name)) == len(before) + 1
    assert result.failed == 0, result.failures


def test_a_training_ends_once_although_the_pod_that_began_it_is_killed(
    trainings: Trainings, runs: Runs, note: Note
) -> None:
    """Another replica takes it up, long after its Job has ended."""
    release, name = trainings.release, "orphan"
    before = trainings.versions(name)
    pod = release.ready_pods("api")[0].name
    with open_api(release, pod) as one:
        training = trainings.begin(timed(name, 20), api=one)
    trainings.wait_for(training, "running", 60)
    owner = runs.tags(training)["owner"]
    release.delete_pod(pod, at_once=True)
    ended = trainings.wait_for_end(training, 180)
    note(f"{ended['seconds']['total']:.1f} s after it was taken up")

    assert ended["state"] == "succeeded", ended
    assert runs.tags(training)["owner"] != owner
    assert len(trainings.versions(name)) == len(before) + 1
    release.wait_rolled_out("api")


def test_a_training_whose_pod_is_killed_is_tried_once_more(
    trainings: Trainings, note: Note
) -> None:
    training = trainings.begin(network("killed-once", 400))
    pod = trainings.running_pod(training)
    trainings.wait_for(training, "running", 60, stage="fit")
    trainings.release.delete_pod(pod)
    trainings.running_pod(training, besides=pod)
    ended = trainings.wait_for_end(training, 240)
    note(f"{ended['seconds']['total']:.1f} s")

    assert ended["state"] == "succeeded", ended


def test_a_training_whose_pod_is_killed_twice_has_failed(trainings: Trainings) -> None:
    training = trainings.begin(network("killed-twice", 10_000))
    first = trainings.running_pod(training)
    trainings.release.delete_pod(first)
    second = trainings.running_pod(training, besides=first)
    trainings.wait_for(training, "running", 60)
    trainings.release.delete_pod(second)
    ended = trainings.wait_for_end(training, 60)

    assert ended["state"] == "failed"
    assert ended["error"] == "Its pod was removed, and so was the next."
    assert "version" not in ended


def test_a_large_training_takes_nothing_of_the_memory_of_the_api(
    trainings: Trainings, note: Note
) -> None:
    """The pod takes 1.5 GiB and more, twice the limit of an API pod."""
    release = trainings.release
    body = {"name": "iris", "dataset": "iris", "model_type": "GaussianNB", "use": False}
    for pod in release.ready_pods("api"):
        # With this, whatever the first training takes is in the figures before.
        with open_api(release, pod.name) as one:
            trainings.wait_for_end(trainings.begin(body, api=one), 90)
    before = {pod.name: most_memory(release, pod.name) for pod in release.ready_pods("api")}

    training = trainings.begin(WIDE, files={"file": ("noise.csv", noise())})
    own = trainings.running_pod(training)
    peaks: list[int] = []

    def ended() -> bool:
        if (peak := most_memory(release, own)) is not None:
            peaks.append(peak)
        body = trainings.read(training)
        return body is not None and body["state"] in ("succeeded", "failed")

    wait_until("the end", ended, 180, seen=lambda: trainings.read(training))
    after = {pod.name: most_memory(release, pod.name) for pod in release.ready_pods("api")}

    grown = {name: (after[name] or 0) - (before[name] or 0) for name in before}
    note(
        f"{max(peaks) / MEBI:,.0f} MiB in its pod; API pods at most "
        + ", ".join(f"{(before[name] or 0) / MEBI:.0f} MiB, then +{grown[name] / MEBI:.0f}"
                    for name in grown)
    )  # fmt: skip
    assert max(peaks) > 1536 * MEBI
    assert after.keys() == before.keys()
    assert max(grown.values()) < 128 * MEBI
    assert trainings.read(training)["state"] == "succeeded"  # type: ignore[index]


def test_the_job_and_the_pods_of_a_training_go_a_minute_after_its_end(
    trainings: Trainings, first: str
) -> None:
    """Of the first one here, which has ended minutes ago."""
    ended = trainings.read(first)
    assert ended is not None
    assert ended["state"] == "succeeded"
    wait_until("no Job of the training", lambda: not trainings.jobs(first), 80)
    wait_until("no pod of the training", lambda: not trainings.pods(first), 10)
