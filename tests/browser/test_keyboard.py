"""A person without a mouse gets from the first page to a prediction of a model of their own."""

from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.sites import Site
from tests.browser.visitor import Visitor

ROWS = b"height,city,tall\n" + b"150,Rio,no\n190,Natal,yes\n" * 10
FILE: FilePayload = {"name": "people.csv", "mimeType": "text/csv", "buffer": ROWS}

MOST_STEPS = 80


def _tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus, which must be seen there."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            assert page.evaluate(
                "() => document.activeElement.matches(':focus-visible')"
                " && (getComputedStyle(document.activeElement).outlineStyle !== 'none'"
                " || document.activeElement.matches('.drop input'))"
            )
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_from_the_first_page_to_a_prediction_by_the_keyboard_alone(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "/")
    # Before it is needed: the browser takes a moment to hand its dialogs over.
    page.on("filechooser", lambda chooser: chooser.set_files(FILE))
    expect(page.locator(".answer .label")).not_to_be_empty()

    _tab_to(page, page.get_by_role("link", name="Train", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Train", level=1)).to_be_focused()
    _tab_to(page, page.locator("input[type=file]"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Predict the column")).to_have_value("tall")
    _tab_to(page, page.get_by_role("button", name="Train", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Training", level=1)).to_be_focused()
    expect(page.get_by_text("The version is in use in every replica.")).to_be_visible()
    _tab_to(page, page.get_by_role("link", name="Try it"))
    page.keyboard.press("Enter")
    height = page.get_by_label("height", exact=True)
    expect(height).to_be_visible()
    _tab_to(page, height)
    page.keyboard.press("Control+A")
    page.keyboard.type("189")

    expect(page.locator(".answer .label")).to_have_text("yes")


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
