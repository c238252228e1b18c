"""What clients of the service are told when a job of theirs crashes or exceeds a limit."""

import signal
from pathlib import Path
from typing import Any

import pytest

from service.common.domain import Version
from tests.support.fakes import FakeRegistry
from tests.support.misbehaving_workers import MisbehavingWorkers
from tests.support.server import ENDLESS, serve, settings_for
from tests.support.waiting import wait_until

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
BY_SIGNAL: Any = {"do": "signals", "to": "self"}
"""Has a job get a signal."""


@pytest.mark.slow
def test_a_crash_is_the_services_fault_for_uploads_files_of_rows_and_trainings(
    misbehaving: MisbehavingWorkers, tmp_path: Path
) -> None:
    registry = FakeRegistry(tmp_path)
    with serve(settings_for(tmp_path / "first"), registry) as client:
        client.train(dataset="iris", model_type="GaussianNB")
    csv = {"content-type": "text/csv"}
    training = {"dataset": "iris", "model_type": "GaussianNB"}

    crashing = misbehaving.instead_of("data_set", "matrix", "train", **BY_SIGNAL, signal=9)
    with crashing, serve(settings_for(tmp_path / "second"), registry, misbehaving) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        names = ",".join(feature["name"] for feature in client.get("/schema").json()["features"])
        rows = f"{names}\n1,2,3,4\n".encode()
        replies = [
            client.post("/datasets?name=d", content=b"x,y\n1,2\n", headers=csv),
            client.post("/predict", content=rows, headers=csv),
            client.post("/train", json=training),
        ]
        begun = client.post("/train", json={**training, "wait": 0}).json()["id"]
        later = client.wait_for_training(begun)

    assert [reply.status_code for reply in replies] == [503, 503, 503]
    assert [reply.json()["type"].rpartition("/")[2] for reply in replies] == [
        "worker-crashed",
        "worker-crashed",
        "training-lost",
    ]
    assert all("SIGKILL" in reply.json()["detail"] for reply in replies)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
    assert "SIGKILL" in later["error"]
    assert {t.fault for t in registry.trainings.values() if t.state == "failed"} == {"service"}


def test_a_limit_that_a_request_hits_stays_the_clients_fault(
    misbehaving: MisbehavingWorkers, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path / "data", training_memory_bytes=2**29)
    hungry = misbehaving.instead_of("data_set", do="eats_memory")
    with hungry, serve(settings, FakeRegistry(tmp_path), misbehaving) as client:
        headers = {"content-type": "text/csv"}
        reply = client.post("/datasets?name=d", content=b"x,y\n1,2\n", headers=headers)

    assert reply.status_code == 400
    assert "more memory than the limit of 512 MiB" in reply.json()["detail"]


@pytest.mark.slow
def test_predictions_go_on_while_a_training_exceeds_its_time(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    with serve(settings_for(tmp_path / "first"), registry) as client:
        client.train(dataset="iris", model_type="LogisticRegression")
    answers = []

    with serve(settings_for(tmp_path / "second", training_seconds=1.0), registry) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        path = f"/trainings/{client.post('/train', json=ENDLESS).json()['id']}"

        def end() -> dict[str, Any] | None:
            answers.append(client.predict(ROW).status_code)
            training: dict[str, Any] = client.get(path).json()
            return None if training["state"] in ("queued", "running") else training

        training = wait_until(end)

    assert training["state"] == "failed"
    assert training["error"] == "It took longer than the limit of 1 s."
    assert len(answers) > 10
    assert set(answers) == {200}


@pytest.mark.parametrize(
    ("number", "status", "slug", "looked_at"),
    [
        (signal.SIGKILL, 503, "worker-crashed", False),
        (signal.SIGSEGV, 409, "version-not-servable", True),
    ],
)
def test_a_foreign_version_is_blamed_for_a_crash_of_its_reader_but_not_for_want_of_memory(
    misbehaving: MisbehavingWorkers,
    tmp_path: Path,
    number: signal.Signals,
    status: int,
    slug: str,
    looked_at: bool,
) -> None:
    registry = FakeRegistry(tmp_path)
    version = Version("theirs", 1, 1.0)
    registry.versions["theirs", 1] = version
    registry.files(version).mkdir(parents=True)
    (registry.files(version) / "MLmodel").write_text("flavors: {}")
    crashing = misbehaving.instead_of("adopt", **BY_SIGNAL, signal=number)
    with crashing, serve(settings_for(tmp_path / "data"), registry, misbehaving) as client:
        reply = client.post("/use-model", json={"name": "theirs", "version": 1})
        shown = client.get("/models/theirs/versions/1").json()

    assert reply.status_code == status, reply.text
    assert reply.json()["type"] == f"/problems/{slug}"
    assert (shown.get("servable") is False) == looked_at
