"""A search as a person asks for it on the page Train, follows it, and cancels it."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.axe import findings
from tests.support.visitor import Site, Visitor

SLOW: dict[str, Any] = {
    "name": "slow",
    "dataset": "digits",
    "wait": 0,
    "search": {"model_types": ["GradientBoostingClassifier"], "trials": 500},
}


def _search(page: Page, among: str) -> None:
    page.get_by_label("Search for the best").check()
    page.get_by_label("Search among").select_option(among)


def test_a_search_among_chosen_classifiers_shows_its_leaderboard(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/train?dataset=iris")
    _search(page, "classifiers that I choose")
    page.get_by_label("GaussianNB").check()
    page.get_by_label("DummyClassifier").check()
    page.get_by_label("RandomForestClassifier").uncheck()
    page.get_by_label("Trials").fill("6")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    assert findings(page) == []

    page.get_by_role("button", name="Train", exact=True).click()

    table = page.get_by_role("region", name="The best of the search")
    expect(table.locator("tbody tr").first).to_contain_text("GaussianNB")
    expect(table).to_contain_text("var_smoothing")
    expect(page.get_by_role("link", name="Try it")).to_be_visible()
    assert findings(page) == []
    training = own.client.get("/trainings").json()["trainings"][0]
    assert (training["model_type"], training["search"]["trials"]) == ("GaussianNB", 6)


def test_the_call_of_a_search_is_shown_as_curl(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/train?dataset=iris")

    _search(page, "a few good classifiers")
    page.get_by_label("Seconds").fill("20")

    shown = page.locator("pre", has_text="curl -s")
    expect(shown).to_contain_text('"search":{"seconds":20}')
    expect(shown).not_to_contain_text("model_type")
    expect(page.get_by_label("Classifier", exact=True)).to_have_count(0)

    page.get_by_label("Search among").select_option("the parameters of one classifier")

    expect(shown).to_contain_text('"model_type":"RandomForestClassifier"')
    expect(page.get_by_label("Classifier", exact=True)).to_be_visible()


def test_what_is_wrong_with_a_search_is_told_at_its_field(visitor: Visitor, own: Site) -> None:
    visitor.expect("status of 400")
    page = visitor.open(own, "#/train?dataset=iris")
    _search(page, "a few good classifiers")

    page.get_by_label("Seconds").fill("1000000")

    field = page.locator(".field", has=page.get_by_label("Seconds"))
    expect(field.locator(".error")).to_contain_text("the seconds that a training may take")
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()


def test_a_search_is_followed_and_cancelled(visitor: Visitor, own: Site) -> None:
    started = own.client.post("/train", json=SLOW).json()

    page = visitor.open(own, f"#/train/{started['id']}")

    facts = page.locator("dl.facts")
    expect(facts.filter(has_text="Running")).to_contain_text("Trials")
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.get_by_role("button", name="Cancel the training").click()
    expect(page.get_by_text("cancelled").first).to_be_visible()
    assert own.client.wait_for_training(started["id"])["search"]["running"] == 0


def test_a_search_is_asked_for_in_portuguese(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/train?dataset=iris", locale="pt-BR")

    page.get_by_label("Procurar o melhor").check()

    expect(page.get_by_label("Procurar entre")).to_be_visible()
