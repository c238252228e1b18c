"""Three replicas over HTTP that follow an alias: moves, failures, a new name, and a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rollout.test_replicas_http import three
from tests.support.fakes import FakeRegistry
from tests.support.server import Client
from tests.support.waiting import wait_until

FOLLOW = {"name": "iris", "alias": "champion", "follow": True}


def _settled(clients: list[Client], registry: FakeRegistry, name: str, version: int) -> None:
    """Wait until every replica answers from this version at the newest epoch of the log."""

    def all_serve() -> bool:
        served = [client.get("/schema").json() for client in clients]
        told = [(one.get("model"), one.get("version"), one.get("epoch")) for one in served]
        return told == [(name, version, len(registry.uses))] * 3

    wait_until(all_serve)


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[list[Client], FakeRegistry]]:
    """Three services, and a model with three versions, of which the third cannot be served."""
    with three(tmp_path_factory.mktemp("three")) as (clients, registry):
        for _ in range(3):
            clients[0].train(name="iris", dataset="iris", model_type="GaussianNB", use=False)
        (registry.files(registry.versions["iris", 3]) / "golden.npz").unlink()
        yield clients, registry


def _follow(client: Client, registry: FakeRegistry) -> int:
    """Put version 1 in use by its alias, which is followed; return the length of the log."""
    registry.aliases["iris", "champion"] = 1
    assert client.post("/use-model", json=FOLLOW).status_code == 200
    return len(registry.uses)


def test_each_move_is_one_change_of_all_replicas_also_under_a_new_name(
    services: tuple[list[Client], FakeRegistry],
) -> None:
    clients, registry = services
    begun = _follow(clients[1], registry)

    for version in (2, 1, 2):
        registry.aliases["iris", "champion"] = version
        _settled(clients, registry, "iris", version)
    registry.rename_model("iris", "flowers")
    registry.aliases["flowers", "champion"] = 1
    _settled(clients, registry, "flowers", 1)
    told = [client.get("/use-model").json() for client in clients]
    registry.rename_model("flowers", "iris")

    assert [use.version for use in registry.uses[begun:]] == [2, 1, 2, 1]
    assert [one["follows"] for one in told] == [{"name": "flowers", "alias": "champion"}] * 3
    assert not any("follow_error" in one for one in told)


def test_every_replica_tells_that_a_followed_version_cannot_be_served(
    services: tuple[list[Client], FakeRegistry],
) -> None:
    clients, registry = services
    begun = _follow(clients[2], registry)
    registry.aliases["iris", "champion"] = 3

    for client in clients:
        told = wait_until(
            lambda client=client: client.get("/use-model").json().get("follow_error")  # type: ignore[misc]
        )
        assert "names version 3 of 'iris', which is not put in use" in told
    _settled(clients, registry, "iris", 1)

    assert registry.uses[begun:] == []


@pytest.mark.slow
def test_an_alias_is_followed_after_a_restart_of_every_replica(tmp_path: Path) -> None:
    with three(tmp_path) as (clients, registry):
        for _ in range(2):
            clients[0].train(name="iris", dataset="iris", model_type="GaussianNB", use=False)
        _follow(clients[0], registry)
    registry.aliases["iris", "champion"] = 2

    with three(tmp_path, registry=registry) as (clients, _):
        _settled(clients, registry, "iris", 2)
        registry.aliases["iris", "champion"] = 1
        _settled(clients, registry, "iris", 1)

    assert [use.version for use in registry.uses] == [1, 2, 1]
