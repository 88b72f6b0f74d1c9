"""The view `models`: versions with their figures and where they came from."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.console import stage
from tests.console.conftest import Watched
from tests.loopback import Served


def test_a_version_shows_its_figures_and_lineage(console: Watched, api: Served) -> None:
    model_id = stage.active_model(api, "jone")

    page = console.open("models")

    card = page.locator("li.card").filter(has_text=model_id)
    for name, value in {
        "edits as asked": "70.8 %base 4.2 %",
        "content kept": "93.8 %",
        "size": "2.9 MB16 bit 9.1 MB",
        "parity with 16 bit": "passed",
    }.items():
        expect(card.locator(".tiles > div").filter(has_text=name)).to_have_text(f"{name}{value}")
    expect(card.locator(".facts")).to_contain_text("jone")
    expect(card.locator(".facts")).to_contain_text("snjone")
    card.locator("summary", has_text="Artifacts").click()
    expect(card.get_by_role("row", name="model-Q5_K_M.gguf")).to_be_visible()


def test_no_model_yet_is_said(console: Watched) -> None:
    page = console.open("models")

    expect(page.get_by_text("No model has been trained yet.")).to_be_visible()
