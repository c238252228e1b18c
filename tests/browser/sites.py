"""Services for a browser to look at."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.fakes import FakeRegistry
from tests.support.keys import line
from tests.support.process import is_ready, service_process
from tests.support.server import Client, serve, settings_for
from tests.support.visitor import Site
from tests.support.waiting import wait_until

KEYS: Mapping[str, str] = {role: f"key-to-{role}" for role in ("predict", "train", "admin")}
"""The key of each role at the service that asks for keys."""

CUSTOMERS = "age,city,vip,churned\n" + "34.5,Rio,true,yes\n51,,false,no\n" * 20


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Run the service as `make run` does, with two versions of iris, and a data set of customers.

    Version 1 is the starter model; version 2 was trained after it, and is in use.
    """
    with service_process(folder / "data") as (_, client):
        _fill(client)
        yield Site(str(client.base_url).rstrip("/"), client)


@contextmanager
def keyed_site(folder: Path) -> Iterator[Site]:
    """Run the same service with the keys of `KEYS`; its client has that of an administrator."""
    path = folder / "keys"
    path.write_text("".join(line(role, key) for role, key in KEYS.items()))
    with service_process(folder / "data", api_keys_file=path) as (_, client):
        client.headers["authorization"] = f"Bearer {KEYS['admin']}"
        _fill(client)
        yield Site(str(client.base_url).rstrip("/"), client)


@contextmanager
def quick_site(folder: Path, registry: FakeRegistry, iris: bool = True) -> Iterator[Site]:
    """Run a service for one test, with iris version 1 in use if that is wished."""
    with serve(settings_for(folder / "data"), registry) as client:
        if iris:
            client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        yield Site(str(client.base_url).rstrip("/"), client)


@contextmanager
def site_without_mlflow(folder: Path) -> Iterator[Site]:
    """Run a service that serves iris version 1, and whose MLflow has been away ever since."""
    registry = FakeRegistry(folder)
    with serve(settings_for(folder / "data"), registry) as client:
        client.train(name="iris", model_type="LogisticRegression", dataset="iris")
        registry.down = True
        yield Site(str(client.base_url).rstrip("/"), client)
        registry.down = False


def _fill(client: Client) -> None:
    wait_until(lambda: is_ready(client), seconds=60)
    client.train(name="iris", model_type="RandomForestClassifier", dataset="iris")
    stored = client.post(
        "/datasets",
        files={"file": ("customers.csv", CUSTOMERS.encode())},
        data={"name": "customers", "target": "churned"},
    )
    assert stored.status_code == 201, json.dumps(stored.json())
