"""A data set of the largest size has room in the pods that it passes through."""

from typing import Any

from service.common.settings import Settings
from tests.support.chart import needs_helm, pods, render

pytestmark = needs_helm

GIBI = 2**30


def _size(pod: str, volume: str) -> int:
    spec: dict[str, Any] = dict(pods(render()))[f"desafio-{pod}"]
    (found,) = [one["emptyDir"] for one in spec["volumes"] if one["name"] == volume]
    text = str(found["sizeLimit"])
    assert text.endswith("Gi")
    return int(text.removesuffix("Gi")) * GIBI


def test_an_api_pod_holds_a_data_set_that_is_stored_and_one_that_is_trained_on() -> None:
    settings = Settings()
    stored = 2 * settings.largest_data_set
    trained = settings.largest_data_set + settings.training_disk_bytes

    assert _size("api", "data") >= stored + trained


def test_mlflow_holds_a_data_set_that_passes_through_it() -> None:
    assert _size("mlflow", "tmp") >= 2 * Settings().largest_data_set
