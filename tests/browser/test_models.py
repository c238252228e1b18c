"""The pages on which versions are looked at, compared, put in use and deleted."""

from playwright.sync_api import expect

from service.common.domain import Version
from tests.support.fakes import FakeRegistry, make_version
from tests.support.visitor import Site, Visitor


def test_two_versions_are_compared_side_by_side(visitor: Visitor, site: Site) -> None:
    page = visitor.open(site, "#/models")

    page.get_by_label("Compare iris 1").check()
    page.get_by_label("Compare iris 2").check()
    page.get_by_role("link", name="Compare iris 1 and iris 2").click()

    expect(page.get_by_role("heading", name="Compare two versions")).to_be_visible()
    differences = page.get_by_role("region", name="What differs")
    expect(differences).to_contain_text("LogisticRegression")
    expect(differences).to_contain_text("RandomForestClassifier")
    expect(page.get_by_text("Confusion matrix").first).to_be_visible()
    expect(page.get_by_role("img", name="ROC curve")).to_have_count(2)


def test_a_version_is_put_in_use_and_taken_back(visitor: Visitor, own: Site) -> None:
    own.client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)
    page = visitor.open(own, "#/models/iris/2")

    page.get_by_role("button", name="Put in use").click()
    expect(page.get_by_text("iris 2 is in use")).to_be_visible()
    assert own.client.get("/use-model").json()["version"] == 2
    page.get_by_role("button", name="Take back: iris 1").click()

    expect(page.get_by_text("iris 1 is in use")).to_be_visible()
    assert own.client.get("/use-model").json()["version"] == 1


def test_a_change_that_was_made_meanwhile_is_not_taken_back(visitor: Visitor, own: Site) -> None:
    visitor.expect("status of 409")
    for kind in ("GaussianNB", "SVC"):
        own.client.train(name="iris", model_type=kind, dataset="iris", use=False)
    page = visitor.open(own, "#/models/iris/2")
    page.get_by_role("button", name="Put in use").click()
    back = page.get_by_role("button", name="Take back: iris 1")
    expect(back).to_be_visible()
    own.client.post("/use-model", json={"name": "iris", "version": 3})

    back.click()

    expect(page.get_by_role("alert")).to_be_visible()
    assert own.client.get("/use-model").json()["version"] == 3


def test_a_version_is_deleted_after_a_question_only(visitor: Visitor, own: Site) -> None:
    own.client.train(name="iris", model_type="GaussianNB", dataset="iris", use=False)
    page = visitor.open(own, "#/models/iris/2")

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Cancel").click()
    assert own.client.get("/models/iris/versions/2").status_code == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    assert own.client.get("/models/iris/versions/2").status_code == 404


def test_the_version_in_use_cannot_be_deleted(visitor: Visitor, own: Site) -> None:
    page = visitor.open(own, "#/models/iris/1")

    expect(page.get_by_role("button", name="Delete")).to_be_disabled()


def test_a_version_that_cannot_be_served_says_why(
    visitor: Visitor, own: Site, registry: FakeRegistry
) -> None:
    version = make_version(name="odd", version=1, refusal="its file is a pickle")
    _add(registry, [version])
    page = visitor.open(own, "#/models?name=odd")

    expect(page.get_by_text("cannot be served")).to_be_visible()
    expect(page.get_by_text("its file is a pickle")).to_be_visible()


def test_a_thousand_versions_are_listed_in_parts(
    visitor: Visitor, own: Site, registry: FakeRegistry
) -> None:
    _add(registry, [make_version(name="many", version=n + 1) for n in range(1000)])
    page = visitor.open(own, "#/models?name=many")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(100)

    page.get_by_role("button", name="Show more").click()

    expect(rows).to_have_count(200)


def _add(registry: FakeRegistry, versions: list[Version]) -> None:
    registry.versions.update({(one.name, one.version): one for one in versions})
