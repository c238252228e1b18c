"""Where a person puts a second version beside the one in use."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings
from tests.browser.second_version import open_form, told, train_second
from tests.browser.settling import settle
from tests.browser.sites import KEYS
from tests.support.visitor import Site, Visitor


def test_a_form_sends_what_was_chosen(visitor: Visitor, own: Site) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    card.get_by_label("How").select_option("split")
    card.get_by_label("Share in percent").fill("10")
    card.get_by_label("Header").fill("X-Customer")
    card.get_by_label("Agreement, at least").fill("")
    card.get_by_label("Quality").select_option("better")
    card.get_by_label("If all hold").select_option("ask")
    card.get_by_role("button", name="Put it beside the one in use").click()
    expect(card.get_by_role("button", name="End it")).to_be_visible()

    found = told(own)
    assert (found["mode"], found["percent"], found["key"]) == ("split", 10, "x-customer")
    assert found["rules"] == {
        "rows": 2000,
        "agreement": None,
        "errors": 0.001,
        "latency_ratio": 1.5,
        "quality": "better",
        "then": "ask",
        "else": "end",
    }


def test_without_rules_people_decide(visitor: Visitor, own: Site) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    card.get_by_label("Judge it by rules").uncheck()
    expect(card.get_by_label("Agreement, at least")).to_have_count(0)
    card.get_by_role("button", name="Put it beside the one in use").click()

    expect(card).to_contain_text("There are no rules: people decide.")
    assert told(own)["rules"] is None


def test_a_wrong_form_is_told_at_its_field_in_the_services_words(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 400")
    train_second(own)
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    card.get_by_label("Share in percent").fill("250")
    card.get_by_label("Errors, at most").fill("few")
    card.get_by_role("button", name="Put it beside the one in use").click()

    expect(card.get_by_role("alert")).to_be_visible()
    expect(card.get_by_label("Share in percent")).to_have_accessible_description(
        re.compile("should be less than or equal to 100")
    )
    expect(card.get_by_label("Errors, at most")).to_have_accessible_description(
        re.compile("should be a valid number")
    )
    assert own.client.get("/traffic").json() == {"traffic": None}


def test_a_version_that_cannot_stand_beside_is_refused_in_the_services_words(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 409")
    own.client.train(name="wine", model_type="GaussianNB", dataset="wine", use=False)
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    card.get_by_role("button", name="Put it beside the one in use").click()

    expect(card.get_by_role("alert")).to_contain_text("gets no traffic beside the one in use")


def test_with_one_version_alone_a_page_leads_to_training_another(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    expect(card).to_contain_text("There is no other version.")
    expect(card.get_by_role("link", name="Train one")).to_be_visible()


def test_a_key_that_may_not_change_it_sees_what_it_may_not_press(
    visitor: Visitor, keyed: Site
) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/watch")
    page.get_by_label("API key").fill(KEYS["predict"])
    page.keyboard.press("Enter")
    begin = open_form(page).get_by_role("button", name="Put it beside the one in use")

    expect(begin).to_be_disabled()
    expect(begin).to_have_accessible_description("needs a key with the role admin")


@pytest.mark.parametrize("width", [1280, 360])
def test_the_form_keeps_nobody_out(visitor: Visitor, own: Site, width: int) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch", width=width)
    expect(
        open_form(page).get_by_role("button", name="Put it beside the one in use")
    ).to_be_visible()
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert findings(page) == []
