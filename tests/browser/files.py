"""Uploads to a page, and downloads from it."""

from pathlib import Path

from playwright.sync_api import FilePayload, Page


def upload(page: Page, name: str, content: str | bytes) -> None:
    """Put a small file into the upload field of a page."""
    body = content.encode() if isinstance(content, str) else content
    file: FilePayload = {"name": name, "mimeType": "", "buffer": body}
    page.locator("input[type=file]").set_input_files(file)


def download(page: Page, button: str) -> tuple[str, str]:
    """Press a button; return the name and the text of the file that is downloaded."""
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    path = started.value.path()
    return started.value.suggested_filename, Path(path).read_text()
