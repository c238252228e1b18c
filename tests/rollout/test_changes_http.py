"""Changes that wait for each other block no threads that other requests need."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.common.domain import Use
from tests.support.fakes import FakeRegistry
from tests.support.server import Client, serve, settings_for

CHANGES = 20
"""More than the number of the API's threads."""


class Blocked(FakeRegistry):
    """Commits the first change at once, and each later one only when a test lets it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.committing, self.go_on = threading.Event(), threading.Event()

    def commit_use(self, *args: Any, **kwargs: Any) -> Use:
        if self.uses:
            self.committing.set()
            assert self.go_on.wait(60)
        return super().commit_use(*args, **kwargs)


@pytest.fixture
def registry(tmp_path: Path) -> Blocked:
    return Blocked(tmp_path)


@pytest.fixture
def client(tmp_path: Path, registry: Blocked) -> Iterator[Client]:
    with serve(settings_for(tmp_path / "data"), registry) as client:
        client.train(name="iris", model_type="GaussianNB", dataset="iris")
        yield client
        registry.go_on.set()


def test_many_concurrent_changes_leave_threads_for_other_requests(
    client: Client, registry: Blocked
) -> None:
    answers: list[httpx.Response] = []

    def change() -> None:
        body = {"name": "iris", "version": 1}
        answers.append(client.post("/use-model", json=body))

    threads = [threading.Thread(target=change) for _ in range(CHANGES)]
    for thread in threads:
        thread.start()
    assert registry.committing.wait(60)

    listed = client.get("/models")
    registry.go_on.set()
    for thread in threads:
        thread.join()

    assert (listed.status_code, listed.json()["stale"]) == (200, False)
    assert [answer.status_code for answer in answers] == [200] * CHANGES
    assert [use.epoch for use in registry.uses] == list(range(1, CHANGES + 2))
