"""The view `jobs`: what runs, how far it is, why it ended; begun and cancelled here."""

from __future__ import annotations

from millrace.container import Progress
from millrace.contract import JobState
from millrace.joblog import JobLog, Line
from playwright.sync_api import expect

from tests.console import stage
from tests.console.conftest import Watched
from tests.loopback import Served


def test_a_running_job_shows_its_progress_and_follows_it(console: Watched, api: Served) -> None:
    stage.running(api, "jone")
    page = console.open("jobs")

    card = page.get_by_role("listitem").filter(has_text="Training")
    expect(card).to_contain_text("step 34 of 120 · epoch 0.85 · loss 0.412 · about 41 s left")
    assert abs(card.get_by_role("progressbar").evaluate("bar => bar.position") - 34 / 120) < 0.001

    stage.step(api, "jone", step=90, loss=0.2, eta_s=9.0)
    expect(card).to_contain_text("step 90 of 120 · epoch 0.85 · loss 0.2 · about 9 s left")

    api.jobs.move(api.tenant, "jone", JobState.FAILED, 1, {"error": "The train container ended without a manifest."})
    expect(page.get_by_text("The train container ended without a manifest.").first).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text("Job jone is failed.")
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_job_that_has_not_stepped_is_starting_and_what_it_leaves_open_is_auto(console: Watched, api: Served) -> None:
    stage.job(api, "jone", hyperparameters={"learning_rate": 0.0, "epochs": 0, "seed": 0})
    api.jobs.move(api.tenant, "jone", JobState.RUNNING, 1)
    api.jobs.note(api.tenant, "jone", 1, {"progress": {"stage": "train", "step": 0, "steps": 120}})
    page = console.open("jobs")

    card = page.locator("li.card")
    expect(card.locator(".figures")).to_have_text("starting")
    card.get_by_text("About this job").click()
    for name, shown in (("learning_rate", "auto"), ("epochs", "auto"), ("seed", "0")):
        expect(card.locator(".facts > div", has_text=name)).to_have_text(f"{name}{shown}")


def test_what_the_gate_found_stands_with_the_job(console: Watched, api: Served) -> None:
    stage.active_model(api, "jone")
    stage.refused(api, "jtwo")
    page = console.open("jobs")

    refused = page.get_by_role("listitem").filter(has_text="Gate, 16 bit: refused").first
    expect(refused).to_contain_text(stage.REFUSED["text"])
    expect(refused.get_by_text("failed", exact=True)).to_be_visible()
    completed = page.locator("li.card").filter(has_text="completed")
    expect(completed).to_contain_text("Gate, quantized: passed")
    completed.get_by_text("Figures").first.click()
    expect(completed.get_by_role("row", name="loss_ratio 0.41").first).to_be_visible()


def test_a_job_is_cancelled_after_a_question(console: Watched, api: Served) -> None:
    stage.running(api, "jone")
    page = console.open("jobs")

    page.get_by_role("button", name="Cancel job jone").click()
    page.get_by_role("button", name="Keep it running").click()
    assert api.jobs.get(api.tenant, "jone").state is JobState.RUNNING
    page.get_by_role("button", name="Cancel job jone").click()
    page.get_by_role("button", name="Cancel it").click()

    expect(page.get_by_text("Cancelled by request.").first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert api.jobs.get(api.tenant, "jone").state is JobState.CANCELLED


def test_a_training_is_begun_once_however_often_it_is_sent(console: Watched, api: Served) -> None:
    rows = "".join(f"Moreover text number {n},Text number {n}\n" for n in range(80))
    api.drop("pairs.csv", ("prompt,completion\n" + rows).encode())
    page = console.open("jobs")

    page.get_by_role("button", name="Start a training").click()
    page.get_by_label("Model name").fill("writer")
    with page.expect_request("**/api/training-jobs") as sent:
        page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="writer")).to_be_visible()

    key = sent.value.headers["idempotency-key"]
    again = page.request.post(
        f"{api.url}/api/training-jobs", data=sent.value.post_data_json, headers={"idempotency-key": key}
    )
    jobs = api.jobs.page(api.tenant, 10, None)[0]
    assert [job.id for job in jobs] == [again.json()["id"]]


def test_too_few_pairs_are_said_and_the_form_stays(console: Watched) -> None:
    page = console.open("jobs")

    page.get_by_role("button", name="Start a training").click()
    page.get_by_role("button", name="Start", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("A training needs at least 40 usable pairs")
    expect(page.get_by_label("Strategy")).to_be_visible()


def test_the_form_is_the_strategys_schema_and_sends_only_what_was_changed(console: Watched, api: Served) -> None:
    page = console.open("jobs")
    page.get_by_role("button", name="Start a training").click()
    page.get_by_text("Hyperparameters", exact=True).click()

    page.get_by_label("rank", exact=True).fill("8")
    expect(page.get_by_text("Of the adapter's matrices")).to_be_visible()
    assert page.get_by_label("rank", exact=True).get_attribute("max") == "256"
    page.get_by_label("Priority").select_option("high")
    with page.expect_request("**/api/training-jobs") as sent:
        page.get_by_role("button", name="Start", exact=True).click()

    told = sent.value.post_data_json
    assert told["hyperparameters"] == {"rank": 8} and (told["strategy"], told["priority"]) == ("lora-sft", "high")


def test_the_cost_is_told_before_anything_is_begun(console: Watched, api: Served) -> None:
    rows = "".join(f"Moreover text number {n},Text number {n}\n" for n in range(80))
    api.drop("pairs.csv", ("prompt,completion\n" + rows).encode())
    page = console.open("jobs")
    page.get_by_role("button", name="Start a training").click()

    page.get_by_role("button", name="What will it cost?").click()

    expect(page.get_by_text("About 0.00 USD and")).to_be_visible()
    assert not api.jobs.page(api.tenant, 10, None)[0]


def test_the_log_and_the_loss_curve_open_and_grow(console: Watched, api: Served) -> None:
    stage.running(api, "jone")
    log = JobLog(api.corpus.table)
    log.add(api.tenant, "jone", 1, "train", [Line(1, "1", "loading <b>weights</b>")])
    points = [(Line(n, f"{n}", ""), Progress(step=n, steps=9, loss=4.0 / n)) for n in (1, 2, 4)]
    log.add_figures(api.tenant, "jone", 1, "train", points)
    page = console.open("jobs")

    page.get_by_text("Log", exact=True).click()
    expect(page.get_by_role("log")).to_contain_text("loading <b>weights</b>")
    page.get_by_text("Loss curve", exact=True).click()
    expect(page.get_by_role("img", name="Loss 4 at step 1, 1 at step 4")).to_be_visible()

    log.add(api.tenant, "jone", 1, "train", [Line(2, "2", "one more line")])
    stage.step(api, "jone", step=91)
    expect(page.get_by_text("step 91 of 120")).to_be_visible()
    expect(page.get_by_role("log")).to_contain_text("one more line")


def test_why_a_job_was_begun_again_stands_with_it(console: Watched, api: Served) -> None:
    job = api.jobs.get(api.tenant, stage.running(api, "jone").id)
    api.jobs.again(api.tenant, job, "OutOfMemory", "Too big. Begun again with batch size 8 instead of 16.")
    page = console.open("jobs")
    expect(page.get_by_text("Attempt 1: Too big. Begun again with batch size 8 instead of 16.")).to_be_visible()


def test_older_jobs_come_page_by_page(console: Watched, api: Served) -> None:
    for n in range(23):
        stage.job(api, f"j{n:02}")
    page = console.open("jobs")
    expect(page.locator("li.card")).to_have_count(20)

    page.get_by_role("button", name="Show older").click()

    expect(page.locator("li.card")).to_have_count(23)
    expect(page.get_by_role("button", name="Show older")).to_be_hidden()


def test_focus_and_opened_parts_survive_a_refresh(console: Watched, api: Served) -> None:
    stage.running(api, "jone")
    page = console.open("jobs")
    page.get_by_text("About this job").click()
    page.get_by_role("button", name="Cancel job jone").focus()

    stage.step(api, "jone", step=91)
    expect(page.get_by_text("step 91 of 120")).to_be_visible()

    expect(page.get_by_role("button", name="Cancel job jone")).to_be_focused()
    expect(page.get_by_text("snjone")).to_be_visible()


def test_an_api_that_is_gone_is_said_and_found_again(console: Watched, api: Served) -> None:
    stage.running(api, "jone")
    page = console.open("jobs")
    expect(page.get_by_text("step 34 of 120")).to_be_visible()

    api.broken.add("/api/training-jobs")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("alert")).to_have_text("The API answered with 503: Service Unavailable.")
    expect(page.get_by_text("step 34 of 120")).to_be_visible()

    api.broken.clear()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("alert")).to_have_count(0)
