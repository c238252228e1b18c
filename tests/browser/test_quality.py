"""Where a person sees whether the model is still right."""

import numpy as np
from playwright.sync_api import expect
from sklearn.datasets import load_iris

from tests.support.visitor import Site, Visitor

ROW = [5.1, 3.5, 1.4, 0.2]


def _longer(rows: int) -> dict[str, list[list[float]]]:
    """Return a request with flowers of iris whose sepals are longer than they were."""
    flowers = np.add(np.resize(load_iris().data, (rows, 4)), [3.0, 0.0, 0.0, 0.0])
    return {"instances": flowers.tolist()}


def test_a_feature_that_drifts_is_told_with_its_picture(visitor: Visitor, own: Site) -> None:
    assert own.client.predict(_longer(600)).status_code == 200
    page = visitor.open(own, "#/watch")

    worst = page.locator(".skew li").first

    expect(worst).to_contain_text("sepal length (cm)")
    expect(worst).to_contain_text("drift")
    expect(worst.get_by_role("img", name="sepal length (cm)")).to_be_visible()
    expect(page.locator(".skew .bad")).to_have_count(1)
    expect(page.get_by_text("600 rows were answered in this time")).to_be_visible()


def test_too_few_rows_are_called_so(visitor: Visitor, own: Site) -> None:
    assert own.client.predict(_longer(100)).status_code == 200
    page = visitor.open(own, "#/watch?window=5m")

    expect(page.locator(".skew li").first).to_contain_text("too few rows")
    expect(page.get_by_label("The last")).to_have_value("5m")


def test_without_rows_no_figure_is_shown(visitor: Visitor, own: Site) -> None:
    assert own.client.get("/skew").json()["rows"] == 0
    page = visitor.open(own, "#/watch")

    first = page.locator(".skew li").first
    expect(first).to_contain_text("too few rows")
    expect(first).not_to_contain_text("PSI")


def test_a_window_that_is_none_is_told_in_the_services_words(visitor: Visitor, own: Site) -> None:
    visitor.expect("status of 400")
    page = visitor.open(own, "#/watch?window=ages")

    expect(page.get_by_role("alert").first).to_contain_text("window")


def test_what_was_really_so_is_shown_with_the_version(visitor: Visitor, own: Site) -> None:
    body = {"version": 1, "instances": [ROW] * 10, "labels": ["setosa"] * 9 + ["virginica"]}
    assert own.client.post("/outcomes", json=body).status_code == 200
    page = visitor.open(own, "#/models/iris/1")

    row = page.get_by_role("region", name="How right it was").locator("tbody tr").nth(1)

    expect(row).to_contain_text("10")
    expect(row).to_contain_text("0.9000")
    expect(page.get_by_role("img", name="Calibration of")).to_be_visible()


def test_a_version_without_outcomes_says_so(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/models/iris/1")

    expect(page.get_by_text("Nobody has told the service yet")).to_be_visible()


def test_a_version_that_is_not_better_is_not_used_and_its_comparison_is_shown(
    visitor: Visitor, own: Site
) -> None:
    page = visitor.open(own, "#/train?dataset=iris")
    page.get_by_label("Classifier").select_option("DummyClassifier")
    page.get_by_label("Put it in use").select_option("if-better")

    page.get_by_role("button", name="Train", exact=True).click()

    expect(page.get_by_text("It does not answer the held-out rows better.")).to_be_visible()
    expect(page.get_by_text("The version is there, and not in use.")).to_be_visible()
    assert own.client.get("/use-model").json()["version"] == 1
