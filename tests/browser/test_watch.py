"""The page on which an operator sees which replica serves what, and how much."""

from playwright.sync_api import expect

from tests.support.process import ROW
from tests.support.visitor import Site, Visitor


def test_each_replica_is_shown_with_what_it_serves(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/watch")
    replicas = page.get_by_role("region", name="Replicas").locator("tbody tr")

    expect(replicas).to_have_count(1)
    expect(replicas.first).to_contain_text("iris 2")


def test_predictions_are_counted_while_one_watches(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/watch")
    row = page.get_by_role("region", name="Replicas").locator("tbody tr")
    answered = row.locator("td").nth(2)
    expect(answered).to_have_text("0")

    for _ in range(30):
        assert own.client.predict(ROW).status_code == 200

    expect(answered).to_have_text("30")
    expect(page.get_by_role("img", name="Requests for predictions")).to_be_visible()
    expect(page.get_by_role("img", name="Time to answer")).to_be_visible()
    expect(page.locator("canvas")).to_have_count(2)


def test_what_was_seen_is_kept_while_other_pages_are_looked_at(
    visitor: Visitor, site: Site
) -> None:
    page = visitor.open(site, "#/watch")
    expect(page.locator("canvas")).to_have_count(2)

    page.get_by_role("link", name="Data").click()
    page.get_by_role("link", name="Watch").click()

    expect(page.locator("canvas")).to_have_count(2)
