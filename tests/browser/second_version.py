"""A second version on the page *Watch*: what tests of it do again and again."""

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Locator, Page

from tests.support.visitor import Site
from tests.support.waiting import wait_until

FLOWER = [6.0, 2.7, 5.1, 1.6]
"""One that the two versions of `train_second` take for different kinds."""

RULES: Mapping[str, Any] = {
    "rows": 10,
    "agreement": 0.97,
    "errors": 0.5,
    "latency_ratio": 1e6,
    "quality": "not worse",
    "then": "ask",
    "else": "ask",
}


def train_second(site: Site) -> None:
    """Train a version that always answers the same, and put it in use nowhere."""
    site.client.train(name="iris", model_type="DummyClassifier", dataset="iris", use=False)


def begin(site: Site, **changes: object) -> None:
    """Put that version beside the one in use; `changes` are members of the body."""
    train_second(site)
    body = {"name": "iris", "version": 2, "mode": "shadow", "percent": 100, **changes}
    response = site.client.put("/traffic", json=body)
    assert response.status_code == 200, response.text


def told(site: Site) -> dict[str, Any]:
    """Return what the service knows of the second version."""
    traffic: dict[str, Any] = site.client.get("/traffic").json()["traffic"]
    return traffic


def answer(site: Site, rows: int = 40) -> None:
    """Have rows answered, by both versions."""
    before = told(site)["rows"]
    assert site.client.predict({"instances": [FLOWER] * rows}).status_code == 200
    wait_until(lambda: told(site)["rows"] == before + rows)


def card_of(page: Page, title: str = "A second version") -> Locator:
    """Return the part of a page that has a title."""
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("section.card").filter(has=heading)


def open_form(page: Page) -> Locator:
    """Open the form, and return the part of the page that holds it."""
    card = card_of(page)
    card.get_by_text("Put a version beside the one in use").click()
    return card
