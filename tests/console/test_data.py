"""The view `data`: what is found, judged, added, exported and forgotten."""

from __future__ import annotations

from millrace.datapoints import DataPoint, Origin, content_id
from millrace.indexing import Index
from playwright.sync_api import expect

from tests.console.conftest import Watched
from tests.loopback import Served


def _bring(api: Served, number: int, origin: Origin = Origin.DROP) -> DataPoint:
    subject = ("bakery", "orchard", "ferry")[number % 3]
    source = f"Moreover, it is important to note that we utilize {number} carts in the {subject}."
    target = f"We use {number} carts in the {subject}."
    id = content_id(source, target, salt="answer" if origin is Origin.ANSWER else "")
    point = DataPoint(id, origin, source, target, f"2026-03-01T00:00:{number:02}.000Z", f"dr1#{number}")
    if origin is Origin.ANSWER:
        api.corpus.capture(api.tenant, point)
    else:
        api.corpus.add_counted(api.tenant, [point])
    Index(api.corpus.table).take(api.tenant, [point])
    return point


def test_data_points_are_shown_with_their_quality_and_found_by_filter(console: Watched, api: Served) -> None:
    for number in range(6):
        _bring(api, number)

    page = console.open("data")

    expect(page.locator("li.card")).to_have_count(6)
    expect(page.locator("li.card").first).to_contain_text("Quality 0.")
    expect(page.get_by_text("Usable examples")).to_be_visible()
    page.get_by_label("Search").fill("bakery")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("li.card")).to_have_count(2)
    page.get_by_label("Origin").select_option("edit")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No data point is like that.")).to_be_visible()


def test_older_ones_come_when_they_are_asked_for(console: Watched, api: Served) -> None:
    for number in range(23):
        _bring(api, number)

    page = console.open("data")

    expect(page.locator("li.card")).to_have_count(20)
    page.get_by_role("button", name="Show older").click()
    expect(page.locator("li.card")).to_have_count(23)


def test_an_answer_is_judged_where_it_stands(console: Watched, api: Served) -> None:
    answer = _bring(api, 1, Origin.ANSWER)

    page = console.open("data")
    page.get_by_role("button", name="Good as it is").click()

    expect(page.get_by_text("It is an example now.")).to_be_visible()
    assert ("POST", "/api/feedback", {"decision_id": answer.id, "thumbs": "up"}) in api.requests


def test_an_example_is_added_and_text_is_never_markup(console: Watched, api: Served) -> None:
    page = console.open("data")
    page.get_by_text("Add an example").click()
    page.get_by_label("The text").fill("Moreover, <img src=x onerror=alert(1)> is utilized.")
    page.get_by_label("How it should read").fill("<img src=x onerror=alert(1)> is used.")
    page.get_by_role("button", name="Add it").click()

    expect(page.get_by_text("Added.")).to_be_visible()
    expect(page.locator("li.card")).to_contain_text("<img src=x onerror=alert(1)> is used.")
    assert api.corpus.counts(api.tenant).usable == 1


def test_an_export_is_asked_for_as_it_is_filtered(console: Watched, api: Served) -> None:
    _bring(api, 1)
    page = console.open("data")
    page.get_by_label("Quality").select_option("0.5")
    page.get_by_text("Export what is shown").click()
    page.get_by_label("Format").select_option("csv")
    page.get_by_role("button", name="Make the file").click()

    expect(page.get_by_text("The file is being written…")).to_be_visible()
    wanted = {"format": "csv", "shape": "pair", "min_quality": 0.5}
    assert ("POST", "/api/training-data/exports", wanted) in api.requests


def test_a_deletion_is_asked_twice_and_says_what_it_touched(console: Watched, api: Served) -> None:
    point = _bring(api, 1)
    page = console.open("data")

    page.get_by_role("button", name=f"Delete {point.id}").click()
    page.get_by_role("button", name="Delete for good").click()

    expect(page.get_by_text("Deleted. Nothing had been trained on it.")).to_be_visible()
    assert api.corpus.counts(api.tenant).removed == 1
