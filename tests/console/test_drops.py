"""The view `drops`: what became of a file, with the reason of every refused line."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.console import stage
from tests.console.conftest import Watched
from tests.loopback import Served


def test_a_drop_tells_its_counts_and_why_a_line_was_refused(console: Watched, api: Served) -> None:
    twice = "Moreover text number 3,Text number 3\n"
    report = api.drop("pairs.csv", (stage.PAIRS + twice + "Moreover nothing,\n").encode())
    assert (report.accepted, report.duplicate, report.rejected) == (12, 1, 1)

    page = console.open("drops")

    card = page.locator("li.card").filter(has_text="pairs.csv")
    for count, name in ((12, "accepted"), (1, "duplicate"), (1, "rejected")):
        expect(card.locator(f".count.{name}")).to_have_text(f"{count}{name}")
    expect(card.get_by_role("row", name=f"15 {report.reasons[0]['reason']}")).to_be_visible()


def test_lines_refused_for_one_reason_stand_as_a_range(console: Watched, api: Served) -> None:
    api.drop("odd.csv", b"a,b\n" + b"x,y\n" * 30)

    page = console.open("drops")

    expect(page.get_by_role("row", name="2–31 the file has no usable header")).to_be_visible()


def test_a_new_drop_appears_by_itself(console: Watched, api: Served) -> None:
    console.page.clock.install()
    page = console.open("drops")
    expect(page.get_by_text("Nothing has been dropped yet.")).to_be_visible()

    api.drop("late.csv", stage.PAIRS.encode())
    page.clock.fast_forward(6_000)

    expect(page.get_by_role("heading", name="late.csv")).to_be_visible()
    expect(page.get_by_text("Nothing has been dropped yet.")).to_be_hidden()


def test_it_says_where_to_drop(console: Watched, api: Served) -> None:
    page = console.open("drops")

    target = f"s3://{api.settings.drop_bucket}/drop/demo/"
    expect(page.get_by_text(f"aws s3 cp pairs.csv {target}", exact=True)).to_be_visible()
    expect(page.get_by_text("millrace drop pairs.csv", exact=True)).to_be_visible()


def test_on_the_twin_the_commands_work_as_pasted(console: Watched, api: Served) -> None:
    def as_the_twin(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, json=reply.json() | {"aws_endpoint": "http://localhost:4566"})

    console.page.route("**/api/system/health", as_the_twin)
    page = console.open("drops")

    keys = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1"
    target = f"s3://{api.settings.drop_bucket}/drop/demo/"
    command = f"{keys} aws --endpoint-url http://localhost:4566 s3 cp pairs.csv {target}"
    expect(page.get_by_text(command, exact=True)).to_be_visible()
    expect(page.get_by_text(".venv/bin/millrace drop pairs.csv", exact=True)).to_be_visible()
