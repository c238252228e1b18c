"""Rows of customers with what became of them, and what `/outcomes` is told of these."""

from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np

from tests.support.server import Client

CITIES = ("Rio", "Natal", "Belém")


def customers(rows: int, seed: int) -> list[dict[str, Any]]:
    """Return rows of three features of three types, and what is to be predicted of them."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(rows):
        age, city, vip = float(random.normal()), CITIES[random.integers(3)], random.random() < 0.5
        score = age + CITIES.index(city) + vip + float(random.normal())
        row = {"age": age, "city": city, "vip": bool(vip)}
        made.append({**row, "churned": "yes" if score > 1.5 else "no"})
    return made


ROWS = customers(200, 1)
TRUTH = [row["churned"] for row in ROWS]
INSTANCES = [{key: row[key] for key in ("age", "city", "vip")} for row in ROWS]


def tell(client: Client, **changes: Any) -> httpx.Response:
    """Send the true labels of all rows to version 1, but for the changes; None leaves one out."""
    body = {"version": 1, "instances": INSTANCES, "labels": TRUTH, **changes}
    return client.post("/outcomes", json={k: v for k, v in body.items() if v is not None})


def told(client: Client, **changes: Any) -> dict[str, Any]:
    """Return the reply to what `tell` sends."""
    response = tell(client, **changes)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def today() -> str:
    return datetime.now(UTC).date().isoformat()
