"""The console without a mouse."""

from playwright.sync_api import expect

from tests.support.console_walk import walk
from tests.support.visitor import Site, Visitor


def test_from_the_first_page_to_a_prediction_by_the_keyboard_alone(
    visitor: Visitor, own: Site
) -> None:
    walk(visitor.open(own, "/"))

    assert own.client.get("/use-model").json()["name"] == "people"


def test_the_first_stop_leads_past_the_navigation(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/models")
    expect(page.get_by_role("link", name="iris 2").first).to_be_visible()

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_dialog_keeps_the_focus_and_gives_it_back(visitor: Visitor, own: Site) -> None:
    own.client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)
    page = visitor.open(own, "#/models/iris/2")
    button = page.get_by_role("button", name="Delete")
    button.focus()

    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()


def test_the_tabs_are_chosen_by_arrows(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/predict")
    page.get_by_role("tab", name="One row").focus()

    page.keyboard.press("ArrowRight")

    expect(page.get_by_role("tab", name="Many rows")).to_be_focused()
    expect(page.get_by_label("Or paste rows")).to_be_visible()
