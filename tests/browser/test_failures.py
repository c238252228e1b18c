"""What a page says when things go wrong."""

from pathlib import Path

from playwright.sync_api import expect

from tests.support.process import is_ready, service_process
from tests.support.visitor import Site, Visitor
from tests.support.waiting import wait_until


def test_a_page_outlives_a_restart_of_the_service(visitor: Visitor, tmp_path: Path) -> None:
    visitor.expect("ERR_CONNECTION|status of 50")
    with service_process(tmp_path / "data") as (_, client):
        wait_until(lambda: is_ready(client), seconds=60)
        port = client.base_url.port
        site = Site(str(client.base_url).rstrip("/"), client)
        page = visitor.open(site, "#/predict")
        expect(page.locator(".answer .label")).to_have_text("versicolor")
        page.get_by_label("petal length (cm)", exact=True).fill("1.4")
    page.get_by_label("petal width (cm)", exact=True).fill("0.2")
    expect(page.locator(".banner")).to_contain_text("does not answer")

    with service_process(tmp_path / "data", port=port) as (_, client):
        wait_until(lambda: is_ready(client), seconds=60)

        expect(page.locator(".banner")).to_have_count(0)
        expect(page.locator(".answer .label")).to_have_text("setosa")
        expect(page.get_by_label("petal length (cm)", exact=True)).to_have_value("1.4")


def test_predictions_go_on_while_mlflow_is_away(visitor: Visitor, without_mlflow: Site) -> None:
    page = visitor.open(without_mlflow, "#/predict")

    expect(page.locator(".answer .label")).not_to_be_empty()


def test_the_list_of_versions_says_how_old_it_is_while_mlflow_is_away(
    visitor: Visitor, without_mlflow: Site
) -> None:
    page = visitor.open(without_mlflow, "#/models")

    expect(page.get_by_text("MLflow does not answer")).to_be_visible()
    expect(page.get_by_role("link", name="iris 1").first).to_be_visible()


def test_a_training_is_refused_in_the_services_words_while_mlflow_is_away(
    visitor: Visitor, without_mlflow: Site
) -> None:
    visitor.expect("status of 503")
    page = visitor.open(without_mlflow, "#/train?dataset=iris")

    expect(page.get_by_role("alert").first).to_contain_text("MLflow")
    expect(page.get_by_role("button", name="Try again").first).to_be_visible()


def test_replicas_are_watched_while_mlflow_is_away(visitor: Visitor, without_mlflow: Site) -> None:
    page = visitor.open(without_mlflow, "#/watch")

    expect(page.get_by_role("region", name="Replicas")).to_contain_text("iris 1")


def test_an_address_of_something_that_is_not_there_says_so(visitor: Visitor, site: Site) -> None:
    visitor.expect("status of 404")
    for address in ("#/models/nothing/1", "#/train/nothing", "#/data/nothing"):
        page = visitor.open(site, address)

        expect(page.get_by_role("alert").first).to_contain_text("nothing")


def test_an_address_that_cannot_be_read_shows_the_first_page(visitor: Visitor, site: Site) -> None:
    for address in ("#/%zz", "#/nowhere", "#/predict?values=%7Bbroken"):
        page = visitor.open(site, address)

        expect(page.locator(".answer .label")).not_to_be_empty()


def test_with_no_model_in_use_a_page_leads_to_training_one(visitor: Visitor, bare: Site) -> None:
    visitor.expect("status of 503")
    page = visitor.open(bare, "#/predict")

    page.get_by_role("link", name="Train one").click()

    expect(page.get_by_role("heading", name="Train", level=1)).to_be_visible()
