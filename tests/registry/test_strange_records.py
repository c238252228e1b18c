"""What others put into MLflow by hand, and page tokens that it did not give."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from service.common.domain import Training
from service.common.errors import InvalidRequest
from service.common.search import SearchState
from service.registry.connection import Connection
from service.registry.mlflow_registry import MlflowRegistry
from tests.support.stores import with_tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_tables(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def mlflow(store: Path) -> Iterator[MlflowRegistry]:
    registry = MlflowRegistry("", store)
    yield registry
    registry.close()


def _token(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "\N{GRINNING FACE}",
        "W10=",
        "bnVsbA==",
        "MQ==",
        _token({"offset": -1}),
        _token({"offset": 2**70}),
        _token({"offset": True}),
        _token({"offset": 1, "more": 1}),
    ],
)
def test_a_page_token_that_mlflow_did_not_make_is_the_clients_fault(
    mlflow: MlflowRegistry, token: str
) -> None:
    with pytest.raises(InvalidRequest):
        mlflow.list_versions(None, 5, token)
    with pytest.raises(InvalidRequest):
        mlflow.list_trainings(5, token)


def test_the_log_of_use_is_listed_by_no_name(mlflow: MlflowRegistry) -> None:
    assert list(mlflow.list_versions("in-use", 10, None).items) == []


def test_a_run_that_somebody_changed_by_hand_does_not_hide_the_others(
    mlflow: MlflowRegistry, store: Path
) -> None:
    opened = mlflow.open_training(Training("", "running", 0.0, name="m"), {})
    tags: Mapping[str, str] = {
        "state": "strange", "progress": "half", "beat": "nan", "metrics": "[", "seconds": "1",
        "version": "one", "fault": "mine", "search": "2", "search.0": "{",
    }  # fmt: skip
    by_hand = Connection("", store)
    for key, value in tags.items():
        by_hand.client.set_tag(opened.id, key, value)
    by_hand.close()

    found = mlflow.get_training(opened.id)

    assert (found.state, found.progress, found.beat_at) == ("failed", 0.0, 0.0)
    assert (found.metrics, found.seconds, found.version, found.fault) == ({}, {}, None, None)
    assert found.search == SearchState("")
    assert mlflow.list_trainings(10, None).items
