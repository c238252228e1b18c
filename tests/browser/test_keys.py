"""The console of a service that asks for keys."""

from playwright.sync_api import Page, expect

from tests.browser.sites import KEYS
from tests.support.visitor import Site, Visitor


def _give(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_and_kept_for_the_session(visitor: Visitor, keyed: Site) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/predict")

    _give(page, KEYS["predict"])
    expect(page.locator(".answer .label")).not_to_be_empty()
    page.reload()

    expect(page.locator(".answer .label")).not_to_be_empty()
    expect(page.get_by_text("key: predict")).to_be_visible()
    expect(page.locator(".curl pre")).to_contain_text('-H "Authorization: Bearer $KEY"')
    expect(page.locator(".curl pre")).not_to_contain_text(KEYS["predict"])


def test_a_key_that_is_not_accepted_is_asked_for_again(visitor: Visitor, keyed: Site) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/models")

    _give(page, "some other key")

    expect(page.get_by_role("dialog")).to_contain_text("does not accept the key")


def test_what_the_key_may_not_do_is_shown_as_such(visitor: Visitor, keyed: Site) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/models/iris/1")
    _give(page, KEYS["train"])

    use = page.get_by_role("button", name="Put in use")

    expect(use).to_be_disabled()
    expect(use).to_have_accessible_description("needs a key with the role admin")


def test_with_a_key_to_train_a_version_is_trained_and_not_put_in_use(
    visitor: Visitor, keyed: Site
) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/train?dataset=wine")
    _give(page, KEYS["train"])

    expect(page.get_by_label("Put it in use")).to_be_disabled()
    page.get_by_label("Classifier").select_option("GaussianNB")
    page.get_by_role("button", name="Train", exact=True).click()

    expect(page.get_by_text("The version is there, and not in use.")).to_be_visible()


def test_a_person_who_gives_no_key_is_not_asked_again_and_again(
    visitor: Visitor, keyed: Site
) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/predict")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()

    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("alert")).to_contain_text("needs a key")
    expect(page.get_by_role("dialog")).to_have_count(0)

    page.get_by_role("button", name="Use a key").click()
    _give(page, KEYS["admin"])
    expect(page.get_by_role("link", name="iris 2")).to_be_visible()


def test_a_key_that_is_forgotten_is_not_sent_any_more(visitor: Visitor, keyed: Site) -> None:
    visitor.expect("status of 401")
    page = visitor.open(keyed, "#/models")
    _give(page, KEYS["admin"])

    page.get_by_role("button", name="Forget key").click()

    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
