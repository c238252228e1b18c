"""Files as somebody drops them on a page, and downloads as they come out of one."""

from pathlib import Path

from playwright.sync_api import FilePayload, Page


def upload(page: Page, name: str, content: str | bytes) -> None:
    """Give a small file to the page's place for one."""
    body = content.encode() if isinstance(content, str) else content
    file: FilePayload = {"name": name, "mimeType": "", "buffer": body}
    page.locator("input[type=file]").set_input_files(file)


def download(page: Page, button: str) -> tuple[str, str]:
    """Press a button, and return the name and the text of the file that it makes."""
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    path = started.value.path()
    return started.value.suggested_filename, Path(path).read_text()
