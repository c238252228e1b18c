"""A model becomes wrong, is seen to be, and a version that has shown itself better replaces it.

The days are those of the README's story, and real: winters to train on, then summers, then a year.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import Note
from tests.e2e.prometheus import Prometheus
from tests.e2e.waiting import wait_until

DAYS = Path(__file__).parents[2] / "docs/weather"
NAME = "seattle"
DATA = "seattle-days"
CSV = {"content-type": "text/csv"}
ALERT = 'ALERTS{alertname="DesafioInputDrifts",namespace="$namespace"}'
"""A series while the alert waits to fire, or fires."""

_DECIDED_SECONDS = 180
"""The rules are looked at once a minute, by one replica."""


def _truth(name: str) -> bytes:
    return (DAYS / f"{name}.csv").read_bytes()


def _days(name: str) -> list[dict[str, float]]:
    """Return days without what the weather was."""
    with (DAYS / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items() if key != "weather"} for row in rows]


class Story:
    """The requests of the story; all must succeed."""

    def __init__(self, api: httpx.Client) -> None:
        self._api = api

    def say(self, method: str, path: str, **given: Any) -> Any:
        """Send a request; return its JSON."""
        response = self._api.request(method, path, timeout=90, **given)
        assert response.is_success, response.text
        return response.json()

    def forget(self) -> None:
        """Delete the days that an earlier run has left, if any."""
        self._api.delete(f"/datasets/{DATA}")

    def train(self, use: bool) -> dict[str, Any]:
        """Train a version on all days that are known."""
        order = {
            "name": NAME,
            "dataset": DATA,
            "model_type": "LinearDiscriminantAnalysis",
            "use": use,
        }
        trained: dict[str, Any] = self.say("POST", "/train", json=order)
        return trained

    def ask(self, days: list[dict[str, float]], **headers: str) -> int:
        """Ask for predictions; return the version that answered."""
        answer = self.say("POST", "/predict", json={"instances": days}, headers=headers)
        version: int = answer["version"]
        return version

    def tell(self, version: int, name: str, append: bool = False) -> float:
        """Tell what the weather was; return how right the version was today."""
        query = f"version={version}" + (f"&append_to={DATA}" if append else "")
        path = f"/outcomes?name={NAME}&{query}"
        told = self.say("POST", path, content=_truth(name), headers=CSV)
        accuracy: float = told["outcomes"]["accuracy"]
        return accuracy

    def verdicts(self, rows: int) -> set[str] | None:
        """Return the verdicts on all features; None before as many rows are counted."""
        told = self.say("GET", "/skew")
        if told["rows"] < rows:
            return None
        return {feature["verdict"] for feature in told["features"]}


@pytest.fixture
def story(api: httpx.Client) -> Iterator[Story]:
    """Return the requests; put back in use what was before."""
    before = api.get("/use-model").json()
    yield Story(api)
    used = {key: before[key] for key in ("name", "version")}
    assert api.post("/use-model", json=used).status_code == 200


def test_a_model_that_becomes_wrong_is_seen_and_replaced(
    story: Story, prometheus: Prometheus, release: Cluster, note: Note
) -> None:
    story.forget()
    uploaded = f"/datasets?name={DATA}&target=weather"
    story.say("POST", uploaded, content=_truth("winters"), headers=CSV)
    first = story.train(use=True)
    assert prometheus.query(ALERT) == []

    # What it is asked is not what it was trained on: told within 500 rows, and an alert waits.
    assert story.ask(_days("summers")[:500]) == first["version"]
    verdicts = wait_until("500 rows counted", lambda: story.verdicts(500), 30)
    assert verdicts == {"drift"}
    prometheus.wait_for(ALERT, 120)

    # The truth shows that it is wrong more often.
    right = story.tell(first["version"], "summers", append=True)
    note(f"accuracy {first['metrics']['accuracy']:.3f} in training, {right:.3f} of summers")
    assert right < first["metrics"]["accuracy"] - 0.1

    # A version that knows summers too stands in the shadow. People decide what comes next.
    second = story.train(use=False)
    beside = {"name": NAME, "version": second["version"]}
    shadow = {"rows": 300, "agreement": 0.5, "errors": 0.01}
    story.say("PUT", "/traffic", json={**beside, "mode": "shadow", "percent": 100, "rules": shadow})
    year = _days("last-year")
    assert story.ask(year) == first["version"]
    shadowed = wait_until("a year compared", lambda: _compared(story, len(year)), 60)
    assert all(check["holds"] for check in shadowed["judgement"]["checks"]), shadowed
    assert story.say("GET", "/use-model")["version"] == first["version"]

    # Then it answers one in ten customers, and takes over once outcomes show that it is better.
    rules = {"rows": 100, "quality": "better", "then": "promote", "else": "end"}
    split = {"mode": "split", "percent": 10, "key": "X-Customer", "rules": rules}
    story.say("PUT", "/traffic", json={**beside, **split})
    answered = [story.ask([day], **{"X-Customer": f"{i}"}) for i, day in enumerate(year)]
    share = answered.count(second["version"]) / len(answered)
    note(f"{100 * share:.1f} % of {len(answered)} customers are answered by the second version")
    assert 0.03 < share < 0.2
    story.tell(first["version"], "last-year")
    used = wait_until(
        "the second version in use",
        lambda: _used(story, second["version"]),
        _DECIDED_SECONDS,
        seen=lambda: story.say("GET", "/traffic"),
    )
    note(used["decision"])
    release.wait_served(NAME, second["version"])

    # It knows what it is asked.
    for _ in range(2):
        assert story.ask(year) == second["version"]
    verdicts = wait_until("a year counted twice", lambda: story.verdicts(2 * len(year)), 30)
    assert verdicts == {"ok"}
    wait_until("the alert ends", lambda: prometheus.query(ALERT) == [], 120)


def _compared(story: Story, rows: int) -> dict[str, Any] | None:
    traffic: dict[str, Any] = story.say("GET", "/traffic")["traffic"]
    return traffic if traffic["rows"] >= rows else None


def _used(story: Story, version: int) -> dict[str, Any] | None:
    used: dict[str, Any] = story.say("GET", "/use-model")
    return used if used["version"] == version else None
