"""A browser for the page's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from fake_server import FakeServer, serving
from visits import Visit

ON = os.environ.get("MANYMODAL_BROWSER") == "1" and shutil.which("chromium") is not None
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser, or unless asked for, these tests are skipped."""
    for item in items:
        if item.path.parent.name == "browser" and not ON:
            item.add_marker(pytest.mark.skip(reason="set MANYMODAL_BROWSER=1 and have chromium on the path"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where a server of the things answers."""
    with serving(FakeServer().app) as url:
        yield url


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A fresh profile of desktop size that may use the (pretended) microphone."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, permissions=["microphone"], reduced_motion="reduce"
    )
    yield context
    context.close()


@pytest.fixture
def visit(context: Any, address: str) -> Iterator[Visit]:
    """The page, opened; whatever a test does there, no script fails and no request leaves the machine."""
    visit = Visit(context, address).open()
    yield visit
    assert visit.faults == []
    assert {url for url in visit.addresses if not url.startswith((address, "blob:", "about:", "data:"))} == set()
