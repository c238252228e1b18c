"""The page on which a person trains."""

from playwright.sync_api import Page, expect

from tests.browser.files import upload
from tests.support.server import ENDLESS
from tests.support.visitor import Site, Visitor

SURVEY = "id,asked on,weight,city,ill\n" + "".join(
    f"{n},2024-01-{n % 28 + 1:02},{'n.d.' if n % 9 == 4 else 50 + n % 40},"
    f"{('Rio', 'Natal')[n % 2]},{('no', 'yes')[n % 3 == 0]}\n"
    for n in range(80)
)
"""Rows that need both a text that means missing, and a column that is left out."""


def _train(page: Page) -> None:
    page.get_by_role("button", name="Train", exact=True).click()


def test_a_file_is_trained_as_its_owner_says_and_asked(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/train")

    upload(page, "survey.csv", SURVEY)
    page.get_by_role("button", name="Leave out asked on").click()
    page.get_by_text("More choices").click()
    page.get_by_label("Texts that mean missing").fill("n.d.")
    expect(page.get_by_label("Type of weight")).to_have_value("number")
    page.get_by_label("Classifier").select_option("DecisionTreeClassifier")
    _train(page)
    page.get_by_role("link", name="Try it").click()

    expect(page.get_by_role("heading", name="Predict")).to_be_visible()
    page.get_by_label("city").select_option("Natal")
    expect(page.locator(".answer .label")).to_have_text("no")
    version = own.client.get("/models/survey/versions/1").json()
    assert version["in_use"] is True
    assert version["model_type"] == "DecisionTreeClassifier"
    assert [feature["name"] for feature in version["schema"]["features"]] == [
        "id",
        "weight",
        "city",
    ]
    assert version["schema"]["features"][1]["nullable"] is True


def test_what_training_makes_of_a_file_is_shown_before_it_begins(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/train")

    upload(page, "rows.csv", "zip;age;y\n" + "01234;34,5;yes\n10115;NA;no\n" * 10)

    expect(page.get_by_text("20 rows, 3 columns")).to_be_visible()
    expect(page.get_by_label("Predict the column")).to_have_value("y")
    expect(page.get_by_label("Type of zip")).to_have_value("text")
    expect(page.get_by_text("'NA' was read as missing, in 10 rows")).to_be_visible()
    assert own.client.get("/trainings").json()["trainings"][0]["name"] == "iris"


def test_a_column_that_is_left_out_stays_in_its_place(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/train?dataset=iris")
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text("sepal length (cm)")

    rows.first.get_by_role("checkbox").check()

    expect(rows.first).to_have_class("excluded")
    expect(rows.first).to_contain_text("sepal length (cm)")


def test_a_parameter_out_of_bounds_is_told_at_its_field(visitor: Visitor, own: Site) -> None:
    visitor.expect("status of 400")
    page = visitor.open(own, "#/train?dataset=iris")
    page.get_by_label("Classifier").select_option("KNeighborsClassifier")
    page.get_by_text("parameters").click()

    page.get_by_label("n_neighbors").fill("0")

    expect(page.get_by_label("n_neighbors")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".field", has_text="n_neighbors").locator(".error")).not_to_be_empty()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_disabled()


def test_a_file_that_cannot_be_read_is_refused_in_the_services_words(
    visitor: Visitor, own: Site
) -> None:
    visitor.expect("status of 415")
    page = visitor.open(own, "#/train")

    upload(page, "book.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 a workbook")

    expect(page.get_by_role("alert")).to_contain_text("An old Excel file (.xls)")


def test_a_training_is_found_again_by_its_address_and_cancelled(
    visitor: Visitor, own: Site
) -> None:
    started = own.client.post("/train", json=ENDLESS).json()
    page = visitor.open(own, "#/train")

    page.get_by_role("link", name="endless").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    page.reload()
    page.get_by_role("button", name="Cancel the training").click()

    expect(page.get_by_text("cancelled").first).to_be_visible()
    assert own.client.wait_for_training(started["id"])["state"] == "cancelled"


def test_a_training_that_fails_says_why(visitor: Visitor, own: Site) -> None:
    body = {"dataset": "digits", "model_type": "SVC", "params": {"nu": 1}, "wait": 0}
    refused = own.client.post("/train", json=body)
    assert refused.status_code == 400
    rows = [[n % 2, 0.0, ("a", "b")[n % 2]] for n in range(20)]
    failing = {
        "name": "failing",
        "dataset": {"columns": ["x", "z", "y"], "rows": rows},
        "target": "y",
        "model_type": "LinearDiscriminantAnalysis",
        "params": {"solver": "eigen"},
        "wait": 0,
    }
    identifier = own.client.post("/train", json=failing).json()["id"]
    ended = own.client.wait_for_training(identifier)
    assert ended["state"] == "failed"

    page = visitor.open(own, f"#/train/{identifier}")

    expect(page.get_by_role("alert")).to_have_text(ended["error"])
