"""Three replicas over HTTP: changes, restarts, trainings, and the calls between them."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from service.auth.peer_signatures import HEADER, sign
from service.common.errors import ReplicaDown, ReplicaSilent
from service.common.settings import Settings
from service.rollout.peer import Peer
from service.rollout.peers import DiscoveredPeers
from service.server.server import listen, url
from tests.support.fakes import FakeRegistry
from tests.support.mlflow_server import free_port
from tests.support.server import Client, running, settings_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def three(
    folder: Path, key: str = "", registry: FakeRegistry | None = None
) -> Iterator[tuple[list[Client], FakeRegistry]]:
    """Run three services that share one registry."""
    registry = FakeRegistry(folder) if registry is None else registry
    ports = [free_port() for _ in range(3)]
    addresses = tuple(f"http://127.0.0.1:{port}" for port in ports)
    with ExitStack() as stack:
        clients = []
        for number, port in enumerate(ports):
            settings = settings_for(
                folder / str(number), port=port, replicas=addresses, peer_key=key,
                mlflow_uri="http://127.0.0.1:1", poll_seconds=0.1,
            )  # fmt: skip
            clients.append(stack.enter_context(running(settings, registry))[1])
        yield clients, registry


def one_of_several(folder: Path, key: str = "") -> Settings:
    """Return the settings of a replica that discovers others."""
    port = free_port()
    return settings_for(
        folder / "data",
        port=port,
        replicas=(f"http://127.0.0.1:{port}",),
        peer_key=key,
        mlflow_uri="http://127.0.0.1:1",
    )


def test_a_change_has_reached_every_replica_when_it_is_answered(tmp_path: Path) -> None:
    with three(tmp_path, "a key of enough characters") as (clients, _):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        clients[1].train(dataset="wine", model_type="GaussianNB")

        for turn in range(6):
            name = ("iris", "wine")[turn % 2]
            change = clients[turn % 3].post("/use-model", json={"name": name, "version": 1}).json()
            assert [client.get("/schema").json()["model"] for client in clients] == [name] * 3
            assert [one["epoch"] for one in change["replicas"]] == [change["epoch"]] * 3


def test_every_replica_shows_the_figures_of_all(tmp_path: Path) -> None:
    with three(tmp_path, "a key of enough characters") as (clients, registry):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
        for times, client in enumerate(clients, 1):
            for _ in range(times):
                assert client.predict(row).status_code == 200
        registry.down = True  # MLflow has no part in it

        bodies = [client.get("/figures").json() for client in clients]

        ids = [one["id"] for one in bodies[0]["replicas"]]
        assert ids == sorted(set(ids))
        assert len(ids) == 3
        for client, body in zip(clients, bodies, strict=True):
            assert [one["id"] for one in body["replicas"]] == ids
            assert body["missing"] == []
            assert {one["epoch"] for one in body["replicas"]} == {1}
            assert sorted(one["requests"]["ok"] for one in body["replicas"]) == [1, 2, 3]
            assert all(one["ready"] and one["model"] == "iris" for one in body["replicas"])
            others = {str(one.base_url).rstrip("/") for one in clients if one is not client}
            assert {one["url"] for one in body["replicas"]} == {"", *others}


def test_a_replica_that_is_gone_is_missing_from_the_figures(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    ports = [free_port(), free_port()]
    addresses = tuple(f"http://127.0.0.1:{port}" for port in ports)
    settings = settings_for(
        tmp_path / "data", port=ports[0], replicas=addresses, mlflow_uri="http://127.0.0.1:1"
    )
    with running(settings, registry) as (_, client):
        body = client.get("/figures").json()

    assert [one["url"] for one in body["replicas"]] == [""]
    assert body["missing"] == [addresses[1]]


def skew_of(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/skew").json()
    return found


def test_every_replica_shows_what_all_have_counted(tmp_path: Path) -> None:
    with three(tmp_path, "a key of enough characters") as (clients, _):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
        for times, client in enumerate(clients, 1):
            for _ in range(times):
                assert client.predict(row).status_code == 200

        wait_until(lambda: all(skew_of(client)["complete"] for client in clients))
        bodies = [skew_of(client) for client in clients]

    for body in bodies:
        assert (body["rows"], body["sampled"], body["missing"]) == (6, 6, [])
        assert [one["share"] for one in body["predictions"]["classes"]] == [1.0, 0.0, 0.0]
    assert len({str(body) for body in bodies}) == 1


def test_what_a_replica_counted_is_there_after_it_has_ended(tmp_path: Path) -> None:
    row = {"instances": [[5.1, 3.5, 1.4, 0.2]]}
    with three(tmp_path) as (clients, registry):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        for client in clients:
            assert client.predict(row).status_code == 200
    with three(tmp_path, registry=registry) as (clients, _):
        wait_until(lambda: clients[0].predict(row).status_code == 200)

        wait_until(lambda: skew_of(clients[0])["complete"])
        body = skew_of(clients[0])

    assert (body["rows"], body["sampled"]) == (4, 4)


def test_a_prediction_is_refused_before_the_requested_epoch(tmp_path: Path) -> None:
    with three(tmp_path) as (clients, _):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        example = clients[2].get("/schema").json()["example"]

        served = clients[2].post("/predict", json=example, headers={"x-min-epoch": "1"})
        later = clients[2].post("/predict", json=example, headers={"x-min-epoch": "2"})
        wrong = clients[2].post("/predict", json=example, headers={"x-min-epoch": "soon"})

    assert (served.status_code, served.headers["x-model-epoch"]) == (200, "1")
    assert (later.status_code, later.headers["x-model-epoch"]) == (503, "1")
    assert "retry-after" in later.headers
    assert wrong.status_code == 400


def test_of_several_that_expect_one_epoch_one_wins(tmp_path: Path) -> None:
    with three(tmp_path) as (clients, registry):
        clients[0].train(dataset="iris", model_type="GaussianNB")
        body = {"name": "iris", "version": 1, "expected_epoch": 1}
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda client: answers.append(
                    client.post("/use-model", json=body).status_code
                ),
                args=(client,),
            )
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert sorted(answers) == [200, 409, 409]
    assert [use.epoch for use in registry.uses] == [1, 2]


def test_a_restart_without_mlflow_serves_what_a_peer_confirms(tmp_path: Path) -> None:
    registry = FakeRegistry(tmp_path)
    ports = [free_port(), free_port()]
    addresses = tuple(f"http://127.0.0.1:{port}" for port in ports)
    first, second = (
        settings_for(tmp_path / str(port), port=port, replicas=addresses, poll_seconds=0.1,
                     mlflow_uri="http://127.0.0.1:1")
        for port in ports
    )  # fmt: skip
    with running(first, registry) as (_, one):
        with running(second, registry) as (_, two):
            two.train(dataset="iris", model_type="GaussianNB")
        registry.down = True
        with running(second, registry) as (_, two):
            wait_until(lambda: two.get("/readyz").status_code == 200)
            assert two.get("/schema").json()["epoch"] == 1
        assert one.get("/readyz").status_code == 200
    with running(second, registry) as (_, two):
        assert two.get("/readyz").status_code == 503  # no replica confirms


def test_a_training_is_followed_and_cancelled_through_any_replica(tmp_path: Path) -> None:
    with three(tmp_path) as (clients, _):
        order = {
            "dataset": "digits", "model_type": "GradientBoostingClassifier",
            "params": {"n_estimators": 2000, "max_depth": 8}, "wait": 0,
        }  # fmt: skip
        training = clients[0].post("/train", json=order).json()["id"]

        assert clients[1].get(f"/trainings/{training}").json()["state"] in ("queued", "running")
        assert clients[2].delete(f"/trainings/{training}").status_code == 200
        wait_until(lambda: clients[1].get(f"/trainings/{training}").json()["state"] == "cancelled")


@pytest.mark.parametrize("step", ["confirm", "swap", "grant", "figures", "skew", "no-such-step"])
def test_calls_between_replicas_need_the_signature(tmp_path: Path, step: str) -> None:
    key = "a key of enough characters"
    path, body = f"/internal/{step}", b"{}"
    with running(one_of_several(tmp_path, key), FakeRegistry(tmp_path)) as (_, client):
        for signature in (
            "",
            sign("another key of enough", path, body),
            sign(key, path, b"[]"),
            sign(key, "/internal/other", body),
            sign(key, path, body, now=0),
        ):
            answer = client.post(path, content=body, headers={HEADER: signature})
            assert answer.status_code == 403, signature

        right = client.post(path, content=body, headers={HEADER: sign(key, path, body)})
        assert right.status_code == {"grant": 400, "skew": 400, "no-such-step": 403}.get(step, 200)


def test_a_closed_port_is_down_and_a_mute_one_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rollout.peer.CONFIRM_SECONDS", 0.2)
    pool = urllib3.PoolManager(retries=False)
    listener = listen(settings_for(tmp_path))
    mute = Peer(url(listener), "mute", "", pool)

    with pytest.raises(ReplicaDown):
        Peer(f"http://127.0.0.1:{free_port()}", "down", "", pool).confirm()
    with pytest.raises(ReplicaSilent):
        mute.confirm()
    listener.close()


def test_a_replica_that_was_silent_just_now_is_not_awaited_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.rollout.peer.CONFIRM_SECONDS", 0.2)
    listener = listen(settings_for(tmp_path))
    peers = DiscoveredPeers([url(listener)], "me", "")
    (mute,) = peers.find()
    listener.close()

    with pytest.raises(ReplicaSilent):  # it would refuse the connection if it were called
        mute.grant("leader")
    peers.close()


def test_predictions_wait_while_they_are_held_and_go_on_by_themselves(tmp_path: Path) -> None:
    with running(one_of_several(tmp_path), FakeRegistry(tmp_path)) as (_, client):
        client.train(dataset="iris", model_type="GaussianNB")
        example = client.get("/schema").json()["example"]

        def step(name: str) -> dict[str, object]:
            answer = client.post(f"/internal/{name}", content=b"{}")
            assert answer.status_code == 200, answer.text
            told: dict[str, object] = answer.json()
            return told

        # A swap in time finds that predictions have waited for it.
        wait_until(lambda: step("hold") == {} and step("swap")["held"])
        # Without a swap they are answered after the hold, and a later swap reports that it is late.
        step("hold")
        assert client.post("/predict", json=example).status_code == 200
        assert step("swap")["held"] is False
