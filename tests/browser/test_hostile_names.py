"""Names that somebody chose to break a page are shown as the text that they are."""

import csv
import io

from playwright.sync_api import Page, expect

from tests.browser.files import download, upload
from tests.browser.settling import settle
from tests.support.visitor import Site, Visitor

SCRIPT = "<script>alert(1)</script>"
LONG = "x" * 250
COLUMNS = [SCRIPT, 'it\'s "quoted"', LONG, "\u202eevil", "שם", "a,b;c", "class"]
IMAGE = "<img src=x onerror=alert(1)>"


def _file() -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for n in range(40):
        writer.writerow(
            [
                n % 7,
                "<b>a</b>",
                n * 1.5,
                ("\u202eab", "cd")[n % 2],
                n,
                "o'k",
                IMAGE if n % 2 else "né",
            ]
        )
    return text.getvalue()


def _no_markup(page: Page) -> None:
    assert page.locator("main script, main img, main b:has-text('a')").count() == 0


def test_a_file_with_hostile_names_is_trained_and_asked_as_text(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/train")
    upload(page, f"{SCRIPT}.csv", _file())
    for column in COLUMNS[:-1]:
        expect(page.get_by_role("rowheader").get_by_text(column, exact=True)).to_be_visible()
    expect(page.get_by_text(f"{SCRIPT}.csv", exact=True)).to_be_visible()
    _no_markup(page)

    page.get_by_label("Name of the model").fill("hostile")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("link", name="Try it").click()

    expect(page.get_by_label(LONG, exact=True)).to_be_visible()
    expect(page.locator(".bars").get_by_text(IMAGE)).to_be_visible()
    _no_markup(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280


def test_hostile_names_leave_in_a_download_as_they_came(visitor: Visitor, own: Site) -> None:
    columns = {name: [0.0, 1.0] * 10 for name in COLUMNS[:-1]}
    rows = [list(row) for row in zip(*columns.values(), ["u", IMAGE] * 10, strict=True)]
    dataset = {"columns": COLUMNS, "rows": rows}
    own.client.train(name="h", model_type="GaussianNB", dataset=dataset, target="class")
    page = visitor.open(own, "#/predict?rows=1")
    header = _file().splitlines()[0].removesuffix(",class")
    upload(page, "h.csv", "\n".join([header, *["1,1,1,1,1,1"] * 3]))

    page.get_by_role("button", name="Predict", exact=True).click()
    _, text = download(page, "Download as CSV")

    names, *records = csv.reader(io.StringIO(text))
    assert names[:6] == COLUMNS[:6]
    assert {record[6] for record in records} == {IMAGE}


def test_hostile_names_fit_on_a_phone(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/train", width=360)
    upload(page, "rows.csv", _file())
    expect(page.get_by_role("rowheader").first).to_be_visible()
    settle(page)

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
