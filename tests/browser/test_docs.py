"""The page that documents the API works under the same policy as the console."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.sites import KEYS
from tests.support.visitor import SCHEMES, Scheme, Site, Visitor


def _opened(page: Page, method: str, path: str) -> Locator:
    """Open an operation of the page."""
    operation = page.locator(f".opblock-{method}").filter(
        has=page.locator(f'[data-path="{path}"]'),
    )
    operation.locator(".opblock-summary-control").click()
    expect(operation.locator(".opblock-body")).to_be_visible()
    return operation


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_page_shows_every_group_of_the_api(
    visitor: Visitor, site: Site, scheme: Scheme
) -> None:
    paths = site.client.get("/openapi.json").json()["paths"]
    tags = {tag for item in paths.values() for one in item.values() for tag in one["tags"]}

    page = visitor.open(site, "/docs", scheme=scheme)

    expect(page.locator(".opblock-tag")).to_have_count(len(tags))
    expect(page.locator("h1")).to_contain_text("mlops-desafio")


@pytest.mark.parametrize(
    ("method", "path"), [("post", "/predict"), ("post", "/train"), ("get", "/models")]
)
def test_an_operation_shows_its_parameters_examples_and_schemas(
    visitor: Visitor, site: Site, method: str, path: str
) -> None:
    operation = _opened(visitor.open(site, "/docs"), method, path)

    for tab in operation.get_by_role("tab", name="Schema").all():
        tab.click()

    expect(operation.get_by_role("tabpanel").first).to_be_visible()


def test_a_call_can_be_tried_there(visitor: Visitor, site: Site) -> None:
    operation = _opened(visitor.open(site, "/docs"), "get", "/healthz")

    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    replies = operation.locator(".live-responses-table")
    expect(replies.locator("td.response-col_status").last).to_have_text("200")
    expect(replies).to_contain_text('"status": "ok"')


def test_a_key_can_be_given_there(visitor: Visitor, keyed: Site) -> None:
    page = visitor.open(keyed, "/docs")
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".dialog-ux")
    dialog.locator("input").fill(KEYS["predict"])
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").first.click()

    operation = _opened(page, "get", "/use-model")
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table")).to_contain_text('"iris"')
