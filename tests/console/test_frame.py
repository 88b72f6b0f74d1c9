"""What holds for every view: text stays text, the policy holds, keyboard, phone, themes, screen readers, the key."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from millrace.contract import JobState, ModelState
from playwright.sync_api import Browser, Page, expect

from tests.console import stage
from tests.console.conftest import Watched
from tests.loopback import Served

VIEWS = ("humanize", "jobs", "data", "drops", "models")
NAME = """(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent.trim())
(document.activeElement)"""
HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"&lt;b&gt;'


def furnish(api: Served) -> None:
    api.drop("pairs.csv", (stage.PAIRS + "Moreover nothing,\n").encode())
    api.drop("odd.csv", b"a,b\n" + b"x,y\n1,\n" * 8)
    stage.active_model(api, "jone")
    stage.refused(api, "jtwo")
    stage.running(api, "jthree")


def fill(page: Page, view: str, text: str) -> None:
    """Bring a view to where it shows all that it can, every part opened."""
    if view == "humanize":
        page.get_by_label("Your text").fill(text)
        page.get_by_role("button", name="Humanize", exact=True).click()
        expect(page.get_by_text("Why this answer")).to_be_visible()
    else:
        expect(page.locator("li.card:visible").first).to_be_visible()
    page.evaluate("document.querySelectorAll('main > section:not([hidden]) details').forEach(d => { d.open = true; })")


def test_hostile_text_in_every_field_is_only_text(console: Watched, api: Served) -> None:
    """The domain forbids some of these values today; the page must not depend on that."""
    api.drop(f"{HOSTILE}.csv", f'{HOSTILE},completion\n"x","y"\n'.encode())
    made = stage.job(api, "jone", HOSTILE, strategy=HOSTILE, started_by=HOSTILE, hyperparameters={HOSTILE: HOSTILE})
    model = api.registry.plan_version(api.tenant, made, {"base": HOSTILE, HOSTILE: HOSTILE})
    gate = {"passed": False, "reasons": [{"code": HOSTILE, "text": f"Gate: {HOSTILE}"}], "metrics": {HOSTILE: HOSTILE}}
    api.jobs.note(api.tenant, "jone", 1, {"gates": {HOSTILE: gate}})
    api.jobs.move(api.tenant, "jone", JobState.FAILED, 1, {"error": f"Failed: {HOSTILE}"})
    api.registry.move(api.tenant, model.id, ModelState.FAILED, {"error": HOSTILE})
    stage.running(api, "jtwo", stage=HOSTILE, loss=HOSTILE, step=HOSTILE)
    page = console.open("humanize")
    page.get_by_label("Your text").fill(f"Moreover, we utilize {HOSTILE} and more.")
    page.get_by_role("button", name="Humanize", exact=True).click()
    expect(page.get_by_text("Why this answer")).to_be_visible()

    for view, seen in (("jobs", f"Failed: {HOSTILE}"), ("drops", f"drop/demo/{HOSTILE}.csv"), ("models", HOSTILE)):
        page.get_by_role("link", name=view.capitalize()).click()
        fill(page, view, "")
        expect(page.get_by_text(seen).locator("visible=true").first).to_be_visible()

    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script").count() == 0
    assert console.complaints == []


def test_nothing_is_fetched_from_elsewhere_and_the_policy_has_no_complaint(console: Watched, api: Served) -> None:
    furnish(api)
    fetched: list[str] = []
    console.page.on("request", lambda request: fetched.append(request.url))

    for view in VIEWS:
        page = console.open(view)
        expect(page.get_by_role("heading", name=view.capitalize(), level=1)).to_be_visible()
    expect(page.locator("li.card").first).to_be_attached()
    expect(page.get_by_text(f"API: {api.settings.stage}")).to_be_attached()

    assert fetched and all(url.startswith(f"{api.url}/") for url in fetched)
    assert "default-src 'self'" in page.request.get(api.url).headers["content-security-policy"]
    assert console.complaints == []


def test_a_phone_never_scrolls_sideways(phone: Watched, api: Served) -> None:
    furnish(api)
    widths = {}
    for view in VIEWS:
        page = phone.open(view)
        fill(page, view, "Moreover, we utilize " + "x" * 300 + " https://example.org/" + "y" * 200)
        widths[view] = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")

    assert all(needed <= given for needed, given in widths.values()), widths


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(browser: Browser, api: Served, scheme: str) -> None:
    furnish(api)
    # axe is put in by the test, which the page's own policy rightly forbids.
    context = browser.new_context(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(10_000)
    found: dict[str, str] = {}
    for view in VIEWS:
        page.goto(f"{api.url}/#/{view}")
        fill(page, view, "Moreover, we utilize 3 servers.")
        results = Axe().run(page)
        if results.violations_count:
            found[view] = results.generate_report()
    context.close()

    assert found == {}


def test_the_keyboard_reaches_and_does_everything_on_the_way_to_a_rewrite(console: Watched) -> None:
    page = console.open("humanize")
    expect(page.get_by_label("Your text")).to_be_focused()
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")

    assert tabbed(page, 10) == [
        *("Skip to the content", "Millrace", "Humanize", "Jobs", "Data", "Drops", "Datasets", "Models", "Key"),
        "Try an example",
    ]
    assert tabbed(page, 5) == ["Your text", "Model", "Strength", "Tone", "Humanize"]
    page.get_by_label("Your text").focus()
    page.keyboard.type("Moreover, we utilize 3 servers.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("Why this answer")).to_be_visible()
    tabbed(page, 4)
    assert tabbed(page, 3) == ["Changes", "Clean", "Edit"]
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your correction")).to_be_focused()
    page.keyboard.type("Now: ")
    assert tabbed(page, 3) == ["1 of 5", "Copy", "Send correction"]
    page.keyboard.press("Enter")
    expect(page.get_by_text("The correction is training data now.")).to_be_visible()


def tabbed(page: Page, times: int) -> list[str]:
    """The names of what has the focus after each press of Tab."""
    names = []
    for _ in range(times):
        page.keyboard.press("Tab")
        names.append(page.evaluate(NAME))
    return names


def test_a_key_is_sent_kept_for_the_tab_and_forgotten(console: Watched, api: Served) -> None:
    page = console.open("models")
    expect(page.get_by_text("No model has been trained yet.")).to_be_visible()

    page.get_by_role("button", name="Key").click()
    page.get_by_label("Key", exact=True).fill("mr_wrong")
    page.get_by_role("button", name="Use it").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]

    page.get_by_role("button", name="Key").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0
