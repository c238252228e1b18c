"""Waiting until a page of the console shows all that it will show by itself."""

from playwright.sync_api import Page, expect


def settle(page: Page) -> None:
    """Wait until a page has its heading, and everything that it asked the service for."""
    expect(page.locator("h1")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
