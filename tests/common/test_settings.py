"""The settings: read once, and every invalid one is reported with a clear message."""

import pytest
from pydantic import ValidationError

from service.common.errors import StartError
from service.common.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SERVICE_{name.upper()}", raising=False)


def test_a_misspelt_setting_stops_the_start_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_DATADIR", "/tmp")

    with pytest.raises(StartError, match="did you mean 'SERVICE_DATA_DIR'"):
        read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("MAX_ROWS", "0"),
        ("MAX_ROWS", "1e3"),
        ("POLL_SECONDS", "nan"),
        ("MLFLOW_URI", "ftp://mlflow"),
        ("LOG_LEVEL", "chatty"),
        ("ALLOW_PICKLE", "perhaps"),
        ("STARTER_MODEL", "unknown"),
        ("REPLICAS", "http://a,dns://b:80"),
        ("REPLICAS", "a:8000"),
        ("PEER_KEY", "short"),
    ],
)
def test_a_wrong_value_stops_the_start_and_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SERVICE_{name}", value)

    with pytest.raises(StartError, match=f"SERVICE_{name} is "):
        read_settings()


def test_every_wrong_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PORT", "x")
    monkeypatch.setenv("SERVICE_MAX_ROWS", "y")
    monkeypatch.setenv("SERVICE_PROT", "1")

    with pytest.raises(StartError) as caught:
        read_settings()

    assert len(str(caught.value).splitlines()) == 3


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]

    assert undescribed == []
