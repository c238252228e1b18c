"""The page on which a person asks a model."""

import json

from playwright.sync_api import expect

from tests.browser.files import download, upload
from tests.support.visitor import Site, Visitor

SETOSA = ["5.1", "3.5", "1.4", "0.2"]
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]


def test_the_answer_changes_as_a_row_is_typed(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/predict?name=iris&version=1")
    expect(page.locator(".answer .label")).to_have_text("versicolor")

    for name, value in zip(NAMES, SETOSA, strict=True):
        page.get_by_label(name, exact=True).fill(value)

    expect(page.locator(".answer .label")).to_have_text("setosa")
    expect(page.locator(".bars li").first).to_contain_text("setosa")
    expect(page.locator(".curl pre")).to_contain_text('"petal length (cm)":1.4')


def test_a_slider_moves_within_what_training_saw(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/predict?name=iris&version=1")
    slider = page.get_by_label("petal width (cm), slider")
    assert slider.get_attribute("min") == "0.1"
    assert slider.get_attribute("max") == "2.5"

    slider.focus()
    page.keyboard.press("End")

    expect(page.get_by_label("petal width (cm)", exact=True)).to_have_value("2.5")
    expect(page.locator(".answer .label")).to_have_text("virginica")


def test_the_address_shows_somebody_else_the_same_row(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/predict?name=iris&version=1")
    page.get_by_label("petal length (cm)", exact=True).fill("6.5")
    expect(page.locator(".answer .label")).to_have_text("virginica")

    other = visitor.open(site, page.url.removeprefix(site.address + "/"))

    expect(other.get_by_label("petal length (cm)", exact=True)).to_have_value("6.5")
    expect(other.locator(".answer .label")).to_have_text("virginica")


def test_what_is_no_number_is_told_at_its_field(visitor: Visitor, site: Site) -> None:
    visitor.expect("status of 400")
    page = visitor.open(site, "#/predict?name=iris&version=1")

    page.get_by_label("sepal width (cm)", exact=True).fill("wide")

    field = page.locator(".field", has=page.get_by_label("sepal width (cm)", exact=True))
    expect(field.locator(".error")).to_contain_text("number")


def test_pasted_rows_are_answered_beside_themselves_and_downloaded(
    visitor: Visitor, site: Site
) -> None:
    rows = [SETOSA, ["6.3", "2.9", "5.6", "1.8"]]
    page = visitor.open(site, "#/predict?name=iris&version=1&rows=1")

    page.get_by_label("Or paste rows").fill("\n".join("\t".join(row) for row in [NAMES, *rows]))
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.get_by_text("2 rows; the first 2 are shown.")).to_be_visible()
    name, text = download(page, "Download as CSV")

    header, *lines = text.splitlines()
    assert name == "rows-predictions.csv"
    assert header.startswith(",".join([*NAMES, "prediction,probability of setosa"]))
    assert [line.split(",")[:5] for line in lines] == [
        [*rows[0], "setosa"],
        [*rows[1], "virginica"],
    ]


def test_rows_that_are_refused_come_with_an_example_that_works(
    visitor: Visitor, site: Site
) -> None:
    visitor.expect("status of 400")
    page = visitor.open(site, "#/predict?name=iris&version=1&rows=1")

    page.get_by_label("Or paste rows").fill("sepal length (cm)\n5.1\n")
    page.get_by_role("button", name="Predict", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("is missing")
    expect(page.get_by_text("An example that works")).to_be_visible()


def test_a_hundred_thousand_rows_leave_as_a_download(visitor: Visitor, site: Site) -> None:
    row = ",".join(SETOSA)
    page = visitor.open(site, "#/predict?name=iris&version=1&rows=1")
    page.set_default_timeout(60_000)

    upload(page, "many.csv", f"{','.join(NAMES)}\n" + f"{row}\n" * 100_000)
    page.get_by_role("button", name="Predict", exact=True).click()
    name, text = download(page, "Download as CSV")

    lines = text.splitlines()
    assert name == "many-predictions.csv"
    assert len(lines) == 100_001
    assert lines[-1].startswith(f"{row},setosa,")


def test_the_command_on_the_page_is_the_call_that_it_made(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/predict?name=iris&version=1")
    expect(page.locator(".answer .label")).not_to_be_empty()
    with page.expect_request("**/predict") as asked:
        page.get_by_label("sepal length (cm)", exact=True).fill("6")

    command = page.locator(".curl pre").inner_text()

    sent = json.loads(asked.value.post_data or "")
    assert asked.value.url in command
    assert sent == json.loads(command.split("-d '")[1].rstrip("'"))
