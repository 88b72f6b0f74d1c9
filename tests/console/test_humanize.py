"""The view `humanize`: text in and out, why, and corrections that arrive."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console import stage
from tests.console.conftest import Watched
from tests.loopback import Served

TEXT = "Moreover, it is important to note that we utilize 3 servers in Berlin."


def humanize(page: Page, text: str = TEXT) -> None:
    page.get_by_label("Your text").fill(text)
    page.get_by_role("button", name="Humanize", exact=True).click()


def test_a_rewrite_is_shown_with_its_changes_scores_and_reasons(console: Watched, api: Served) -> None:
    page = console.open("humanize")

    humanize(page)

    changed = page.get_by_role("group", name="The rewrite with its changes marked")
    expect(changed.locator("del").first).to_be_visible()
    expect(changed).to_contain_text("3 servers in Berlin.")
    readability = page.get_by_role("row", name="Readability")
    expect(readability.get_by_role("cell")).to_have_count(3)
    answer = api.corpus.page(api.tenant, 1, None)[0][0]
    told = [float(readability.get_by_role("cell").nth(at).inner_text()) for at in (0, 1)]
    assert told == pytest.approx([answer.scores[side]["readability"] for side in ("before", "after")], abs=0.01)
    expect(page.get_by_text("rules answered and its rewrite verified.")).to_be_visible()
    expect(page.get_by_text(answer.id)).to_be_visible()
    expect(page.get_by_text(re.compile(r"^0\.\d+ of 1 \(\w+ 0\.\d+, \w+ 0\.\d+\)$"))).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("The rewrite is ready. rules answered.")
    changed_only = "node => [...node.childNodes].filter(n => n.nodeName !== 'DEL').map(n => n.textContent).join('')"
    assert changed.evaluate(changed_only) == answer.target
    page.get_by_role("button", name="Clean").click()
    expect(page.get_by_role("group", name="The rewrite", exact=True)).to_have_text(answer.target)
    assert console.complaints == []


def test_a_correction_is_sent_and_becomes_a_data_point_of_the_decision(console: Watched, api: Served) -> None:
    page = console.open("humanize")
    humanize(page)

    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Your correction").fill("We run 3 servers in Berlin.")
    page.get_by_role("button", name="Send correction").click()
    expect(page.get_by_text("The correction is training data now.")).to_be_visible()

    points = {str(point.origin): point for point in api.corpus.page(api.tenant, 10, None)[0]}
    assert points["edit"].target == "We run 3 servers in Berlin."
    assert points["edit"].source == TEXT
    assert points["edit"].origin_ref == points["answer"].id


def test_a_rating_arrives_with_the_decision_it_is_about(console: Watched, api: Served) -> None:
    page = console.open("humanize")
    humanize(page)

    page.get_by_role("group", name="How good is it?").get_by_label("4 of 5").check(force=True)
    expect(page.get_by_text("Rated 4 of 5.")).to_be_visible()

    answer = api.corpus.page(api.tenant, 1, None)[0][0]
    assert ("POST", "/api/feedback", {"decision_id": answer.id, "rating": 4}) in api.requests


def test_the_menu_offers_active_models_and_what_was_chosen_is_sent(console: Watched, api: Served) -> None:
    model_id = stage.active_model(api, "jone")
    stage.answering(api, model_id, "We use 3 servers in Berlin.")
    page = console.open("humanize")

    expect(page.get_by_label("Model").locator("option")).to_have_text(["auto", "rules", model_id])
    page.get_by_label("Model").select_option(model_id)
    page.get_by_label("Strength").select_option("strong")
    page.get_by_label("Tone").select_option("formal")
    humanize(page)

    expect(page.get_by_text(f"{model_id} answered and its rewrite verified.")).to_be_visible()
    expect(page.get_by_text("12 in, 9 out")).to_be_visible()
    asked = {"text": TEXT, "model_id": model_id, "strength": "strong", "tone": "formal"}
    assert ("POST", "/api/humanize", asked) in api.requests


def test_an_unfaithful_draft_is_shown_as_refused_with_what_it_lost_marked(console: Watched, api: Served) -> None:
    model_id = stage.active_model(api, "jone")
    stage.answering(api, model_id, "We use 30 servers in Berlin.")
    page = console.open("humanize")
    page.get_by_label("Model").select_option(model_id)

    humanize(page)

    expect(page.get_by_text("Refused draft")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text(f"{model_id} answered, but its rewrite did not keep: number.")
    draft = page.get_by_role("group", name="The refused draft, with what it lost marked")
    expect(draft.locator("mark").first).to_have_attribute("title", "not kept: number")
    table = page.get_by_role("table", name="What the rewrite did not keep")
    expect(table.get_by_role("row", name="number").first).to_be_visible()
    expect(page.get_by_role("button", name="Send correction")).to_have_count(0)


def test_a_problem_is_said_as_its_sentence(console: Watched, api: Served) -> None:
    page = console.open("humanize")

    # Out of sight: laying five megabytes out takes a browser seconds that prove nothing.
    page.get_by_label("Your text").evaluate(
        """node => {
          node.style.display = "none";
          node.value = "x".repeat(5_000_005);
          node.dispatchEvent(new Event("input"));
          node.form.requestSubmit();
        }"""
    )

    expect(page.get_by_role("alert")).to_contain_text("The text has 5,000,005 bytes; at most 5,000,000 are taken at")
    expect(page.get_by_text("5 bytes too many")).to_be_visible()


def test_an_empty_text_is_not_sent(console: Watched, api: Served) -> None:
    page = console.open("humanize")

    page.get_by_role("button", name="Humanize", exact=True).click()

    expect(page.get_by_label("Your text")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("The text is empty.")
    assert not [path for method, path, _ in api.requests if method == "POST"]


def test_what_was_typed_survives_a_look_at_another_view(console: Watched) -> None:
    page = console.open("humanize")
    page.get_by_label("Your text").fill("Half a thought")

    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_focused()
    page.get_by_role("link", name="Humanize").click()

    expect(page.get_by_label("Your text")).to_have_value("Half a thought")


LONG = "\n\n".join(f"Moreover, it is important to note that we utilize {n} servers in Berlin." for n in range(400))


def test_a_long_text_is_a_job_whose_progress_is_shown_until_its_result(console: Watched, api: Served) -> None:
    api.works = False
    page = console.open("humanize")
    page.get_by_label("Model").select_option("rules")
    humanize(page, LONG)

    expect(page.get_by_text("Waiting for its turn")).to_be_visible()
    expect(page.get_by_text(re.compile(r"0 of \d+ paragraphs"))).to_be_visible()
    api.works = True

    changed = page.get_by_role("group", name="The rewrite with its changes marked")
    expect(changed).to_contain_text("399 servers in Berlin.", timeout=30_000)
    expect(page.get_by_role("row", name="Readability")).to_be_visible()
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    assert console.complaints == []


def test_a_long_texts_job_is_stopped_by_its_button(console: Watched, api: Served) -> None:
    api.works = False
    page = console.open("humanize")
    page.get_by_label("Model").select_option("rules")
    humanize(page, LONG)
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_text("The rewrite was stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert console.complaints == []


def test_the_paragraphs_of_a_stream_are_shown_as_they_come(console: Watched) -> None:
    """A server that writes one paragraph and waits: the gateway on loopback writes all at once, as API Gateway does."""
    page = console.open("humanize")
    page.evaluate(
        """() => {
          const real = window.fetch;
          window.fetch = (path, options) => path !== "/api/humanize" ? real(path, options) : Promise.resolve(
            new Response(new ReadableStream({ start(controller) {
              const write = (text) => controller.enqueue(new TextEncoder().encode(text));
              write('event: paragraph\\ndata: {"text": "One. "}\\n\\nevent: para');
              write('graph\\ndata: {"text": "Two."}\\n\\n');
              window.end = (last) => { write(last); controller.close(); };
            } }), { headers: { "content-type": "text/event-stream; charset=utf-8" } }));
        }"""
    )
    humanize(page, "One. Two.")

    expect(page.get_by_role("group", name="The rewrite so far")).to_have_text("One. Two.")
    page.evaluate("""() => window.end('event: error\\ndata: {"status": 503, "detail": "gpt broke off."}\\n\\n')""")
    expect(page.get_by_role("alert")).to_contain_text("gpt broke off.")
