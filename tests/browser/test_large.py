"""Pages stay usable with what is large."""

from pathlib import Path

from playwright.sync_api import expect

from tests.browser.files import upload
from tests.support.visitor import Site, Visitor

_NOTE_PROGRESS = """() => {
  window.shares = [];
  new MutationObserver(() => {
    const bar = document.querySelector("progress[value]");
    if (bar) window.shares.push(bar.value);
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""

COLUMNS = 10_000
MIB = 1024 * 1024


def test_of_ten_thousand_features_the_telling_ones_come_first_and_others_are_found(
    visitor: Visitor, own: Site
) -> None:
    names = [f"gene_{n}" for n in range(COLUMNS - 1)]
    telling = 7_777
    lines = [",".join([*names, "ill"])]
    for row in range(24):
        values = [str((row * 31 + n * 17) % 101) for n in range(COLUMNS - 1)]
        values[telling] = str(1000 * (row % 2) + row)
        lines.append(",".join([*values, ("no", "yes")[row % 2]]))
    page = visitor.open(own, "#/train")
    page.set_default_timeout(60_000)
    upload(page, "genes.csv", "\n".join(lines))
    page.get_by_label("Classifier").select_option("GaussianNB")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("link", name="Try it").click()

    labels = page.locator("form.features label")
    expect(labels).to_have_count(24)
    expect(labels.first).to_have_text(f"gene_{telling}")
    page.get_by_label("Find a feature").fill("gene_9876")
    expect(labels).to_have_count(1)
    page.get_by_label("gene_9876", exact=True).fill("3")
    page.get_by_label("Find a feature").fill("")

    expect(page.get_by_label("gene_9876", exact=True)).to_have_value("3")
    expect(page.locator(".answer .label")).not_to_be_empty()


def test_a_file_of_sixty_mebibytes_is_sent_with_progress(
    visitor: Visitor, own: Site, tmp_path: Path
) -> None:
    row = b"1234.5,6789.25," + b"a" * 100 + b",yes\n"
    rows = (60 * MIB // (2 * len(row))) * 2
    file = tmp_path / "large.csv"
    file.write_bytes(b"a,b,c,y\n" + (row + row.replace(b"yes", b"no ")) * (rows // 2))
    page = visitor.open(own, "#/train")
    page.evaluate(_NOTE_PROGRESS)

    page.locator("input[type=file]").set_input_files(file)

    expect(page.get_by_text(f"{rows:,} rows, 4 columns")).to_be_visible(timeout=120_000)
    shares = page.evaluate("() => window.shares")
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
