"""Predictions from files: what stops them early, and the limit on their probabilities."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from service.common.errors import ClientGone, InvalidRequest
from service.serving.classification import Classification
from service.serving.core_pool import CorePool
from service.serving.file_predictions import MAX_PROBABILITIES, Deadline
from tests.support.classifiers import ClockedClassifier
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for
from tests.support.waiting import wait_until

CSV = {"content-type": "text/csv"}


def rows_csv(client: Client, rows: int) -> bytes:
    names = [feature["name"] for feature in client.get("/schema").json()["features"]]
    line = ",".join(["1"] * len(names)) + "\n"
    return (",".join(names) + "\n" + line * rows).encode()


def instances(client: Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(x.split()[-1]) for x in lines if x.startswith("service_instances_total"))


def test_after_its_time_a_file_is_given_up_with_a_sentence() -> None:
    with pytest.raises(InvalidRequest, match=r"more than 0 s; send fewer rows"):
        Deadline(0).check()


def test_work_for_a_client_that_has_left_is_given_up() -> None:
    deadline = Deadline()
    deadline.check()
    deadline.client_left = True

    with pytest.raises(ClientGone):
        deadline.check()


def test_what_gives_the_work_up_is_asked_before_each_part() -> None:
    classifier = ClockedClassifier(0, 0)
    deadline = Deadline()

    def check() -> None:
        deadline.check()
        deadline.client_left = bool(classifier.sizes)

    with pytest.raises(ClientGone):
        Classification("It", classifier, CorePool(1)).classify(
            np.ones((20_000, 3)), False, check=check
        )
    assert 0 < sum(classifier.sizes) < 20_000


@pytest.mark.slow
def test_a_client_that_leaves_ends_the_work_and_is_not_counted(tmp_path: Path) -> None:
    uploads = tmp_path / "data" / "work"
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        # Slow enough: 300,000 rows take several seconds longer than the client waits.
        client.train(
            name="near",
            dataset="breast_cancer",
            model_type="KNeighborsClassifier",
            params={"algorithm": "brute", "metric": "minkowski", "p": 3},
        )
        body = rows_csv(client, 300_000)
        before, folders = instances(client), set(uploads.rglob("rows"))

        with pytest.raises(httpx.ReadTimeout):
            client.post("/predict", content=body, headers=CSV, timeout=httpx.Timeout(30, read=2))

        wait_until(lambda: set(uploads.rglob("rows")) <= folders)
        assert instances(client) == before


@pytest.mark.slow
def test_more_probabilities_than_a_reply_may_have_are_refused(tmp_path: Path) -> None:
    with serve(settings_for(tmp_path / "data"), FakeRegistry(tmp_path)) as client:
        classes = 500
        labels = [f"class {index % classes}" for index in range(10 * classes)]
        records = [{"x": index % 7, "label": label} for index, label in enumerate(labels)]
        client.train(
            name="many", model_type="GaussianNB", dataset={"records": records}, target="label"
        )
        body = rows_csv(client, MAX_PROBABILITIES // classes + 1)

        refused = client.post("/predict?probabilities=true", content=body, headers=CSV)
        answered = client.post("/predict", content=body, headers=CSV)

    assert refused.status_code == 413
    assert "rows x classes" in refused.json()["detail"]
    assert answered.status_code == 200
