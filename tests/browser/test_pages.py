"""What holds for every page of the console."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.addresses import ADDRESSES
from tests.browser.axe import findings
from tests.browser.settling import settle
from tests.support.visitor import SCHEMES, Scheme, Site, Visitor

every_address = pytest.mark.parametrize("address", ADDRESSES)


@every_address
def test_a_page_says_what_it_is_with_one_heading_and_a_title(
    visitor: Visitor, site: Site, address: str
) -> None:
    page = visitor.open(site, address)
    settle(page)

    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator("h1")).not_to_be_empty()
    expect(page.locator("main")).to_have_count(1)
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"


@every_address
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_keeps_nobody_out(
    visitor: Visitor, site: Site, address: str, scheme: Scheme
) -> None:
    page = visitor.open(site, address, scheme=scheme)
    settle(page)

    assert findings(page) == []


@every_address
def test_a_page_on_a_phone_is_not_scrolled_sideways(
    visitor: Visitor, site: Site, address: str
) -> None:
    page = visitor.open(site, address, width=360)
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert findings(page) == []


@every_address
def test_a_page_speaks_portuguese_to_somebody_whose_browser_does(
    visitor: Visitor, site: Site, address: str
) -> None:
    english, portuguese = (
        visitor.open(site, address, locale=locale) for locale in ("en-US", "pt-BR")
    )
    settle(english)
    settle(portuguese)

    assert str(portuguese.locator("html").get_attribute("lang")).startswith("pt")
    assert portuguese.locator("nav").first.inner_text() != english.locator("nav").first.inner_text()


@every_address
def test_a_page_that_is_loaded_anew_shows_the_same(
    visitor: Visitor, site: Site, address: str
) -> None:
    page = visitor.open(site, address)
    settle(page)
    heading, url = page.locator("h1").inner_text(), page.url

    page.reload()
    settle(page)

    assert (page.locator("h1").inner_text(), page.url) == (heading, url)


def test_back_leads_to_the_page_before(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, ADDRESSES[0])
    settle(page)
    before = page.locator("h1").inner_text()
    page.evaluate("(address) => { location.hash = address; }", ADDRESSES[1])
    expect(page.locator("h1")).not_to_have_text(before)

    page.go_back()

    expect(page.locator("h1")).to_have_text(before)


def test_the_first_page_is_one_of_them(page: Page) -> None:
    settle(page)

    expect(page.locator("h1")).to_have_count(1)


@every_address
def test_a_page_stands_while_mlflow_is_away(
    visitor: Visitor, without_mlflow: Site, address: str
) -> None:
    visitor.expect(r"^console error: Failed to load resource: .* 503 ")
    page = visitor.open(without_mlflow, address)
    settle(page)

    expect(page.locator("main")).not_to_be_empty()
    assert findings(page) == []


@every_address
def test_a_page_stands_where_a_key_is_needed(visitor: Visitor, keyed: Site, address: str) -> None:
    visitor.expect(r"^console error: Failed to load resource: .* 401 ")
    page = visitor.open(keyed, address)
    settle(page)

    expect(page.locator("main")).not_to_be_empty()
    assert findings(page) == []
