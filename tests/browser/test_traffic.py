"""Where a person puts a second version beside the one in use, sees how it does, and decides."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import findings
from tests.browser.settling import settle
from tests.browser.sites import KEYS
from tests.support.fakes import FakeRegistry
from tests.support.visitor import SCHEMES, Scheme, Site, Visitor
from tests.support.waiting import wait_until

FLOWER = [6.0, 2.7, 5.1, 1.6]
"""One that the two versions of `_two_versions` take for different kinds."""

RULES: Mapping[str, Any] = {
    "rows": 10,
    "agreement": 0.97,
    "errors": 0.5,
    "latency_ratio": 1e6,
    "quality": "not worse",
    "then": "ask",
    "else": "ask",
}


def _two_versions(site: Site) -> None:
    site.client.train(name="iris", model_type="DummyClassifier", dataset="iris", use=False)


def _begin(site: Site, **changes: object) -> None:
    """Put the version that always answers the same beside the one in use."""
    _two_versions(site)
    body = {"name": "iris", "version": 2, "mode": "shadow", "percent": 100, **changes}
    response = site.client.put("/traffic", json=body)
    assert response.status_code == 200, response.text


def _told(site: Site) -> dict[str, Any]:
    traffic: dict[str, Any] = site.client.get("/traffic").json()["traffic"]
    return traffic


def _answer(site: Site, rows: int = 40) -> None:
    """Have rows answered, by both versions."""
    before = _told(site)["rows"]
    assert site.client.predict({"instances": [FLOWER] * rows}).status_code == 200
    wait_until(lambda: _told(site)["rows"] == before + rows)


def _card(page: Page, title: str = "A second version") -> Locator:
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.locator("section.card").filter(has=heading)


def _open_form(page: Page) -> Locator:
    card = _card(page)
    card.get_by_text("Put a version beside the one in use").click()
    return card


def test_a_version_is_put_beside_watched_and_taken_away(visitor: Visitor, own: Site) -> None:
    _two_versions(own)
    page = visitor.open(own, "#/watch")
    card = _open_form(page)

    expect(card.get_by_label("Version", exact=True)).to_have_value("iris 2")
    card.get_by_role("button", name="Put it beside the one in use").click()
    expect(card).to_contain_text("No row was answered by both yet.")
    expect(page.locator(".notice")).to_contain_text("iris 2 is beside the one in use")
    _answer(own)

    expect(card).to_contain_text("alike by both")
    expect(card.get_by_role("img", name="Agreement")).to_contain_text("≥ 97%")
    expect(card.get_by_role("region", name="Rules")).to_contain_text("undecided")
    card.get_by_role("button", name="End it").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()

    expect(card.get_by_text("Put a version beside the one in use")).to_be_visible()
    expect(page.locator(".notice")).to_contain_text("iris 2 is not beside the one in use any more")
    assert own.client.get("/traffic").json() == {"traffic": None}
    assert own.client.get("/use-model").json()["version"] == 1


def test_a_form_sends_what_was_chosen(visitor: Visitor, own: Site) -> None:
    _two_versions(own)
    page = visitor.open(own, "#/watch")
    card = _open_form(page)

    card.get_by_label("How").select_option("split")
    card.get_by_label("Share in percent").fill("10")
    card.get_by_label("Header").fill("X-Customer")
    card.get_by_label("Agreement, at least").fill("")
    card.get_by_label("Quality").select_option("better")
    card.get_by_label("If all hold").select_option("ask")
    card.get_by_role("button", name="Put it beside the one in use").click()
    expect(card.get_by_role("button", name="End it")).to_be_visible()

    found = _told(own)
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
    _two_versions(own)
    page = visitor.open(own, "#/watch")
    card = _open_form(page)

    card.get_by_label("Judge it by rules").uncheck()
    expect(card.get_by_label("Agreement, at least")).to_have_count(0)
    card.get_by_role("button", name="Put it beside the one in use").click()

    expect(card).to_contain_text("There are no rules: people decide.")
    assert _told(own)["rules"] is None


def test_a_wrong_form_is_told_at_its_field_in_the_services_words(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 400")
    _two_versions(own)
    page = visitor.open(own, "#/watch")
    card = _open_form(page)

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
    card = _open_form(page)

    card.get_by_role("button", name="Put it beside the one in use").click()

    expect(card.get_by_role("alert")).to_contain_text("gets no traffic beside the one in use")


def test_with_one_version_alone_a_page_leads_to_training_another(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/watch")
    card = _open_form(page)

    expect(card).to_contain_text("There is no other version.")
    expect(card.get_by_role("link", name="Train one")).to_be_visible()


def test_where_two_versions_differ_is_shown_with_what_the_rules_say(
    visitor: Visitor, own: Site
) -> None:
    _begin(own, rules=RULES)
    _answer(own)
    page = visitor.open(own, "#/watch")
    card = _card(page)

    differ = card.get_by_role("region", name="Where they differ").locator("tbody tr")
    rules = card.get_by_role("region", name="Rules").locator("tbody tr")

    expect(card).to_contain_text("0% of 40 rows were answered alike by both")
    expect(differ).to_have_count(1)
    expect(differ).to_contain_text("setosa")
    expect(differ).to_contain_text("40")
    expect(rules.filter(has_text="Agreement")).to_contain_text("does not hold")
    expect(rules.filter(has_text="Errors")).to_contain_text("holds")
    expect(rules.filter(has_text="not worse")).to_contain_text("undecided")
    expect(card).to_contain_text("One of the rules does not hold. People decide what follows.")


def test_what_outcomes_say_of_both_is_shown(visitor: Visitor, own: Site) -> None:
    _begin(own, rules=RULES)
    (truth,) = own.client.predict({"instances": [FLOWER]}).json()["predictions"]
    body = {"version": 1, "instances": [FLOWER] * 20, "labels": [truth] * 20}
    assert own.client.post("/outcomes", json=body).status_code == 200
    wait_until(lambda: (_told(own)["outcomes"] or {}).get("rows") == 20)
    page = visitor.open(own, "#/watch")

    outcomes = _card(page).get_by_role("region", name="Once the truth was told")

    claims = outcomes.locator("tbody tr")
    expect(claims.filter(has_text="is worse").get_by_text("shown", exact=True)).to_be_visible()
    expect(claims.filter(has_text="is better").get_by_text("not shown")).to_be_visible()
    expect(_card(page)).to_contain_text("The truth of 20 rows was told")


def test_the_second_version_is_put_in_use_and_taken_back(visitor: Visitor, own: Site) -> None:
    _begin(own)
    page = visitor.open(own, "#/watch")

    _card(page).get_by_role("button", name="Put in use").click()

    expect(page.locator(".notice")).to_contain_text("iris 2 is in use")
    expect(page.locator(".notice")).to_contain_text("That ended the comparison with iris 2.")
    assert own.client.get("/use-model").json()["version"] == 2
    page.get_by_role("button", name="Take back: iris 1").click()
    expect(page.locator(".notice")).to_contain_text("iris 1 is in use")
    expect(_card(page).get_by_text("Put a version beside the one in use")).to_be_visible()


def test_a_button_does_not_act_on_what_somebody_else_has_changed(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 409")
    _begin(own)
    before = own.client.get("/traffic").json()
    page = visitor.open(own, "#/watch")
    page.route("**/traffic", lambda route: route.fulfill(json=before))
    button = _card(page).get_by_role("button", name="Put in use")
    expect(button).to_be_enabled()
    own.client.train(name="iris", model_type="GaussianNB", dataset="iris")

    button.click()

    expect(_card(page).get_by_role("alert")).to_contain_text("expected_epoch")
    assert own.client.get("/use-model").json()["version"] == 3


def test_why_rules_have_ended_traffic_is_told_with_what_is_in_use(
    visitor: Visitor, own: Site, registry: FakeRegistry
) -> None:
    _begin(own, rules=RULES)
    why = "The second version goes, since one of the rules does not hold: agreement: 12 %."
    in_use, epoch = registry.get_version("iris", 1), _told(own)["in_use"]["epoch"]
    registry.commit_use(in_use, "rules of the traffic", epoch, decision=why)
    wait_until(lambda: own.client.get("/use-model").json().get("decision") == why)

    page = visitor.open(own, "#/watch")

    expect(_card(page, "In use")).to_contain_text(why)
    expect(_card(page).get_by_text("Put a version beside the one in use")).to_be_visible()


def test_a_key_that_may_not_change_it_sees_what_it_may_not_press(
    visitor: Visitor, keyed: Site
) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/watch")
    page.get_by_label("API key").fill(KEYS["predict"])
    page.keyboard.press("Enter")
    begin = _open_form(page).get_by_role("button", name="Put it beside the one in use")

    expect(begin).to_be_disabled()
    expect(begin).to_have_accessible_description("needs a key with the role admin")


def test_traffic_is_begun_and_ended_by_the_keyboard_alone(visitor: Visitor, own: Site) -> None:
    _two_versions(own)
    page = visitor.open(own, "#/watch")
    summary = _card(page).get_by_text("Put a version beside the one in use")
    summary.focus()
    page.keyboard.press("Enter")
    expect(_card(page).get_by_label("Version", exact=True)).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(_card(page).get_by_label("Share in percent")).to_be_focused()

    page.keyboard.press("Enter")
    end = _card(page).get_by_role("button", name="End it")
    expect(end).to_be_visible()
    end.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("button", name="End it")).to_be_focused()
    page.keyboard.press("Enter")

    expect(summary).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [1280, 360])
def test_two_versions_keep_nobody_out(
    visitor: Visitor, own: Site, scheme: Scheme, width: int
) -> None:
    _begin(own, rules=RULES)
    _answer(own)
    page = visitor.open(own, "#/watch", scheme=scheme, width=width)
    expect(_card(page).get_by_role("img", name="Agreement")).to_be_visible()
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert findings(page) == []


@pytest.mark.parametrize("width", [1280, 360])
def test_the_form_keeps_nobody_out(visitor: Visitor, own: Site, width: int) -> None:
    _two_versions(own)
    page = visitor.open(own, "#/watch", width=width)
    expect(
        _open_form(page).get_by_role("button", name="Put it beside the one in use")
    ).to_be_visible()
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert findings(page) == []


def test_two_versions_are_told_of_in_portuguese(visitor: Visitor, own: Site) -> None:
    _two_versions(own)
    page = visitor.open(own, "#/watch", locale="pt-BR")
    card = _card(page, "Uma segunda versão")
    card.get_by_text("Pôr uma versão ao lado da que está em uso").click()
    card.get_by_role("button", name="Pôr ao lado da versão em uso").click()
    expect(card).to_contain_text("Nenhuma linha foi respondida por ambas ainda.")

    _answer(own)

    expect(card.get_by_role("img", name="Concordância")).to_be_visible()
    expect(card.get_by_role("region", name="Regras")).to_contain_text("indeciso")
    expect(card.get_by_role("button", name="Encerrar")).to_be_visible()
