"""The page `/docs`: the API's description, readable, from this origin alone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.console.conftest import Watched
from tests.loopback import Served


def test_every_route_appears_with_what_it_takes_and_gives_and_nothing_comes_from_elsewhere(
    console: Watched, api: Served
) -> None:
    page = console.page
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    reply = page.goto(f"{api.url}/docs")
    assert reply is not None and "default-src 'self'" in reply.headers["content-security-policy"]
    described = page.request.get(f"{api.url}/openapi.json").json()

    routes = {f"{verb.upper()}{path}" for path, verbs in described["paths"].items() for verb in verbs}
    expect(page.locator("details.operation .verb")).to_have_count(len(routes))
    heads = page.locator("details.operation:has(.verb) > summary")
    said = {"".join(head.locator(".verb, code").all_text_contents()) for head in heads.all()}
    assert said == routes

    rewrite = page.locator("#post-api-humanize")
    rewrite.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(rewrite.get_by_role("heading", name="Request", exact=False).first).to_be_visible()
    expect(rewrite.locator(".outline li", has_text="voice_id").first).to_contain_text("string or null")
    expect(rewrite.get_by_role("row", name="422")).to_contain_text("Problem")
    rewrite.get_by_role("row", name="422").get_by_role("link", name="Problem").click()
    expect(page.locator("#shape-problem .outline li").first).to_be_visible()

    assert all(url.startswith(f"{api.url}/") for url in fetched)
    assert console.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_reference(browser: Browser, api: Served, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{api.url}/docs")
    page.get_by_role("button", name="Open all").click()
    page.locator("#post-api-humanize .outline").first.wait_for()

    results = Axe().run(page)
    context.close()

    assert results.violations_count == 0, results.generate_report()
