"""The walk of a person without a mouse, from the first page to a prediction of their own model."""

from playwright.sync_api import FilePayload, Locator, Page, expect

ROWS = b"height,city,tall\n" + b"150,Rio,no\n190,Natal,yes\n" * 10
FILE: FilePayload = {"name": "people.csv", "mimeType": "text/csv", "buffer": ROWS}

_MOST_STEPS = 80

_FOCUS_IS_SEEN = """() => {
  const focused = document.activeElement;
  // The input for a file is out of sight; the place to drop one, around it, shows the focus.
  const shown = focused.closest(".drop") ?? focused;
  return getComputedStyle(shown).outlineStyle !== "none";
}"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus, which must be seen there."""
    expect(wanted).to_have_count(1)
    for _ in range(_MOST_STEPS):
        page.keyboard.press("Tab")
        if wanted.evaluate("(element) => element === document.activeElement"):
            assert page.evaluate(_FOCUS_IS_SEEN)
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def walk(page: Page, key: str | None = None, milliseconds: float = 30_000) -> None:
    """Train on `FILE` and ask the model, by the keyboard alone; `key` is given when asked for."""
    # Before it is needed: the browser takes a moment to hand its dialogs over.
    page.on("filechooser", lambda chooser: chooser.set_files(FILE))
    if key is not None:
        expect(page.get_by_label("API key")).to_be_focused(timeout=milliseconds)
        page.keyboard.type(key)
        page.keyboard.press("Enter")
    expect(page.locator(".answer .label")).not_to_be_empty(timeout=milliseconds)
    tab_to(page, page.get_by_role("link", name="Train", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Train", level=1)).to_be_focused()
    tab_to(page, page.locator("input[type=file]"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Predict the column")).to_have_value("tall", timeout=milliseconds)
    start = page.get_by_role("button", name="Train", exact=True)
    expect(start).to_be_enabled(timeout=milliseconds)
    tab_to(page, start)
    page.keyboard.press("Enter")
    used = page.get_by_text("The version was put in use in every replica.")
    expect(used).to_be_visible(timeout=milliseconds)
    tab_to(page, page.get_by_role("link", name="Try it"))
    page.keyboard.press("Enter")
    height = page.get_by_label("height", exact=True)
    expect(height).to_be_visible(timeout=milliseconds)
    tab_to(page, height)
    page.keyboard.press("Control+A")
    page.keyboard.type("189")
    expect(page.locator(".answer .label")).to_have_text("yes", timeout=milliseconds)
