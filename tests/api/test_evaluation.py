"""How a version did on its held-out rows, as `GET /models/{name}/versions/{version}` shows it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.schema.evaluation import FILE, MOST_BYTES
from tests.support.fakes import FakeRegistry
from tests.support.server import Client

PATH = "/models/judged/versions/1"


@pytest.fixture(scope="module")
def judged(shared_client: Client) -> str:
    """The id of the training of a version that is not in use."""
    body = {"name": "judged", "dataset": "wine", "model_type": "GaussianNB", "use": False}
    return str(shared_client.train(**body)["id"])


@pytest.fixture
def file(registry: FakeRegistry, judged: str) -> Any:
    """The file that its training recorded; it is there again after the test."""
    path = registry.report(judged) / FILE
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)
    registry.storage_down = False


def shown(client: Client) -> dict[str, Any]:
    response = client.get(PATH)
    assert response.status_code == 200, response.text
    detail: dict[str, Any] = response.json()
    assert detail["training"]
    return detail


@pytest.mark.usefixtures("judged")
def test_a_version_shows_how_it_did_on_the_held_out_rows(client: Client) -> None:
    detail = shown(client)

    found = detail["evaluation"]
    assert set(found) == {"rows", "classes", "by_class", "confusion", "roc", "calibration"}
    assert found["classes"] == detail["schema"]["classes"]
    right = sum(found["confusion"][place][place] for place in range(3))
    assert right / found["rows"] == pytest.approx(detail["metrics"]["accuracy"])
    assert set(found["by_class"][0]) == {"label", "rows", "precision", "recall", "f1"}
    assert set(found["roc"][0]) == {"label", "auc", "points"}
    assert set(found["calibration"][0]["bins"][0]) == {"predicted", "observed", "rows"}


def test_a_version_without_probabilities_shows_no_curves(client: Client) -> None:
    client.train(name="unsure", dataset="iris", model_type="SVC", use=False)

    found = client.get("/models/unsure/versions/1").json()["evaluation"]

    assert set(found) == {"rows", "classes", "by_class", "confusion"}


def test_a_version_of_before_shows_none(client: Client, file: Path) -> None:
    file.unlink()

    assert "evaluation" not in shown(client)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b"[" * 10_000, b" " * (MOST_BYTES + 1), b"0" * 10 * MOST_BYTES]
)
def test_what_somebody_else_wrote_there_is_left_out_and_logged(
    client: Client, file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(content)

    with caplog.at_level(logging.WARNING, "service.api.models"):
        assert "evaluation" not in shown(client)

    (line,) = [one.getMessage() for one in caplog.records if one.name == "service.api.models"]
    assert line.startswith("evaluation.json of judged 1 is refused: ")
    assert len(line) < 400


def test_a_folder_in_its_place_is_left_out(client: Client, file: Path) -> None:
    file.unlink()
    file.mkdir()

    assert "evaluation" not in shown(client)
    file.rmdir()


def test_while_the_storage_is_away_the_rest_is_shown(
    client: Client, registry: FakeRegistry, file: Path
) -> None:
    assert file.is_file()
    assert "evaluation" in shown(client)  # the schema is in the cache from now on
    registry.storage_down = True

    assert "evaluation" not in shown(client)
    assert shown(client)["schema"]["classes"]


@pytest.mark.usefixtures("judged")
def test_a_version_that_others_registered_shows_none(
    client: Client, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registry.versions["judged", 1]
    foreign = replace(own, sha256={}, created_at=own.created_at + 1)
    monkeypatch.setitem(registry.versions, ("judged", 1), foreign)

    detail = client.get(PATH).json()

    assert detail["run_id"] == own.run_id
    assert "evaluation" not in detail
