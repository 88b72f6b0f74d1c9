"""A real browser on the real gateway. A page is watched: its errors, and what its CSP refuses, are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.loopback import Served, served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

WITHIN_MS = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("the console's tests need chromium: apt-get install chromium")
    expect.set_options(timeout=WITHIN_MS)
    # One for each module: while it lives, Playwright's event loop runs in this thread, and no other loop can.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def api() -> Iterator[Served]:
    with served() as up:
        yield up


@dataclass
class Watched:
    """One page and everything that it complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def open(self, view: str) -> Page:
        self.page.goto(f"{self.url}/#/{view}")
        return self.page


def watch(context: BrowserContext, url: str) -> Watched:
    page = context.new_page()
    page.set_default_timeout(WITHIN_MS)
    watched = Watched(page, url)
    page.on("console", lambda message: watched.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    return watched


@pytest.fixture
def console(browser: Browser, api: Served) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    yield watch(context, api.url)
    context.close()


@pytest.fixture
def phone(browser: Browser, api: Served) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    yield watch(context, api.url)
    context.close()
