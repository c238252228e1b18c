"""The page on which rows are kept under a name."""

from playwright.sync_api import expect

from tests.browser.files import upload
from tests.support.visitor import Site, Visitor

ROWS = "age,city,ok\n" + "34,Rio,yes\nNA,Natal,no\n" * 10


def test_a_file_is_kept_trained_on_and_deleted(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/data")

    upload(page, "our customers.csv", ROWS)
    expect(page.get_by_label("Name", exact=True)).to_have_value("our-customers")
    page.get_by_label("Target").fill("ok")
    page.get_by_role("button", name="Keep it").click()

    expect(page.get_by_text("our-customers is kept: 20 rows.")).to_be_visible()
    expect(page.get_by_text("'NA' was read as missing, in 10 rows")).to_be_visible()
    page.get_by_role("link", name="our-customers").click()
    page.get_by_role("link", name="Train on it").click()
    expect(page.get_by_label("Predict the column")).to_have_value("ok")

    page.goto("/#/data/our-customers")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="our-customers")).to_have_count(0)


def test_a_name_that_is_taken_is_told_in_the_services_words(visitor: Visitor, own: Site) -> None:
    visitor.expect("status of 409")
    page = visitor.open(own, "#/data")
    upload(page, "rows.csv", ROWS)

    page.get_by_label("Name", exact=True).fill("iris")
    page.get_by_role("button", name="Keep it").click()

    expect(page.get_by_role("alert")).to_contain_text("the name of a built-in data set")


def test_two_hundred_data_sets_are_found_by_typing(visitor: Visitor, own: Site) -> None:
    for n in range(200):
        body = {"columns": ["a", "y"], "rows": [[n, "u"], [n + 1, "v"]]}
        stored = own.client.post("/datasets", params={"name": f"set-{n}"}, json=body)
        assert stored.status_code == 201
    page = visitor.open(own, "#/data")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(204)

    page.get_by_label("Find a data set").fill("set-19")

    expect(rows).to_have_count(11)
