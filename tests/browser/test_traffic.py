"""Where a person sees how a second version does beside the one in use, and decides."""

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings
from tests.browser.second_version import (
    FLOWER,
    RULES,
    answer,
    begin,
    card_of,
    open_form,
    told,
    train_second,
)
from tests.browser.settling import settle
from tests.support.fakes import FakeRegistry
from tests.support.visitor import SCHEMES, Scheme, Site, Visitor
from tests.support.waiting import wait_until


def test_a_version_is_put_beside_watched_and_taken_away(visitor: Visitor, own: Site) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch")
    card = open_form(page)

    expect(card.get_by_label("Version", exact=True)).to_have_value("iris 2")
    card.get_by_role("button", name="Put it beside the one in use").click()
    expect(card).to_contain_text("No row was answered by both yet.")
    expect(page.locator(".notice")).to_contain_text("iris 2 is beside the one in use")
    answer(own)

    expect(card).to_contain_text("alike by both")
    expect(card.get_by_role("img", name="Agreement")).to_contain_text("≥ 97%")
    expect(card.get_by_role("region", name="Rules")).to_contain_text("undecided")
    card.get_by_role("button", name="End it").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()

    expect(card.get_by_text("Put a version beside the one in use")).to_be_visible()
    expect(page.locator(".notice")).to_contain_text("iris 2 is not beside the one in use any more")
    assert own.client.get("/traffic").json() == {"traffic": None}
    assert own.client.get("/use-model").json()["version"] == 1


def test_where_two_versions_differ_is_shown_with_what_the_rules_say(
    visitor: Visitor, own: Site
) -> None:
    begin(own, rules=RULES)
    answer(own)
    page = visitor.open(own, "#/watch")
    card = card_of(page)

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
    begin(own, rules=RULES)
    (truth,) = own.client.predict({"instances": [FLOWER]}).json()["predictions"]
    body = {"version": 1, "instances": [FLOWER] * 20, "labels": [truth] * 20}
    assert own.client.post("/outcomes", json=body).status_code == 200
    wait_until(lambda: (told(own)["outcomes"] or {}).get("rows") == 20)
    page = visitor.open(own, "#/watch")

    outcomes = card_of(page).get_by_role("region", name="Once the truth was told")

    claims = outcomes.locator("tbody tr")
    expect(claims.filter(has_text="is worse").get_by_text("shown", exact=True)).to_be_visible()
    expect(claims.filter(has_text="is better").get_by_text("not shown")).to_be_visible()
    expect(card_of(page)).to_contain_text("The truth of 20 rows was told")


def test_the_second_version_is_put_in_use_and_taken_back(visitor: Visitor, own: Site) -> None:
    begin(own)
    page = visitor.open(own, "#/watch")

    card_of(page).get_by_role("button", name="Put in use").click()

    expect(page.locator(".notice")).to_contain_text("iris 2 is in use")
    expect(page.locator(".notice")).to_contain_text("That ended the comparison with iris 2.")
    assert own.client.get("/use-model").json()["version"] == 2
    page.get_by_role("button", name="Take back: iris 1").click()
    expect(page.locator(".notice")).to_contain_text("iris 1 is in use")
    expect(card_of(page).get_by_text("Put a version beside the one in use")).to_be_visible()


def test_a_button_does_not_act_on_what_somebody_else_has_changed(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 409")
    begin(own)
    before = own.client.get("/traffic").json()
    page = visitor.open(own, "#/watch")
    page.route("**/traffic", lambda route: route.fulfill(json=before))
    button = card_of(page).get_by_role("button", name="Put in use")
    expect(button).to_be_enabled()
    own.client.train(name="iris", model_type="GaussianNB", dataset="iris")

    button.click()

    expect(card_of(page).get_by_role("alert")).to_contain_text("expected_epoch")
    assert own.client.get("/use-model").json()["version"] == 3


def test_why_rules_have_ended_traffic_is_told_with_what_is_in_use(
    visitor: Visitor, own: Site, registry: FakeRegistry
) -> None:
    begin(own, rules=RULES)
    why = "The second version goes, since one of the rules does not hold: agreement: 12 %."
    in_use, epoch = registry.get_version("iris", 1), told(own)["in_use"]["epoch"]
    registry.commit_use(in_use, "rules of the traffic", epoch, decision=why)
    wait_until(lambda: own.client.get("/use-model").json().get("decision") == why)

    page = visitor.open(own, "#/watch")

    expect(card_of(page, "In use")).to_contain_text(why)
    expect(card_of(page).get_by_text("Put a version beside the one in use")).to_be_visible()


def test_traffic_is_begun_and_ended_by_the_keyboard_alone(visitor: Visitor, own: Site) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch")
    summary = card_of(page).get_by_text("Put a version beside the one in use")
    summary.focus()
    page.keyboard.press("Enter")
    expect(card_of(page).get_by_label("Version", exact=True)).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(card_of(page).get_by_label("Share in percent")).to_be_focused()

    page.keyboard.press("Enter")
    end = card_of(page).get_by_role("button", name="End it")
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
    begin(own, rules=RULES)
    answer(own)
    page = visitor.open(own, "#/watch", scheme=scheme, width=width)
    expect(card_of(page).get_by_role("img", name="Agreement")).to_be_visible()
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert findings(page) == []


def test_two_versions_are_told_of_in_portuguese(visitor: Visitor, own: Site) -> None:
    train_second(own)
    page = visitor.open(own, "#/watch", locale="pt-BR")
    card = card_of(page, "Uma segunda versão")
    card.get_by_text("Pôr uma versão ao lado da que está em uso").click()
    card.get_by_role("button", name="Pôr ao lado da versão em uso").click()
    expect(card).to_contain_text("Nenhuma linha foi respondida por ambas ainda.")

    answer(own)

    expect(card.get_by_role("img", name="Concordância")).to_be_visible()
    expect(card.get_by_role("region", name="Regras")).to_contain_text("indeciso")
    expect(card.get_by_role("button", name="Encerrar")).to_be_visible()
