// Text in and out: a word diff, scores in plain words, the decision's reasons, and corrections that become training data.

import { get, post, stream } from "./api.js";
import { follow } from "./following.js";
import { alarm, announce, copyButton, details, el, facts, field, note, options, select } from "./dom.js";
import { diff } from "./diff.js";
import { SCORES, scoreTable, violationTable } from "./scores.js";
import { count, figure, money, plural } from "./words.js";

export const title = "Humanize";

const EXAMPLE =
  "Moreover, it is important to note that we utilize 3 servers in Berlin. In order to facilitate a seamless " +
  "experience, the team did not change the API, and the release of 2026-03-14 remains supported.";
const ALWAYS = [["auto", "auto"], ["rules", "rules"]];
const MAX_BYTES = 5_000_000;

export function build() {
  const input = el("textarea.pane", { id: "source", placeholder: "Paste or write the text to be humanized.", spellcheck: true, autofocus: true });
  const counted = el("span.muted.small", { "aria-hidden": "true" });
  const model = select(ALWAYS, "auto");
  const strength = select([["light", "light"], ["medium", "medium"], ["strong", "strong"]], "medium");
  const tone = select([["plain", "plain"], ["warm", "warm"], ["formal", "formal"], ["academic", "academic"]], "plain");
  const go = el("button.primary", { type: "submit" }, "Humanize");
  const example = el("button.link", { type: "button", onclick: () => { input.value = EXAMPLE; recount(); input.focus(); } }, "Try an example");
  const out = el("div.out", placeholder());
  const below = el("div");
  const form = el("form.humanize", { onsubmit: submit },
    el("div.column",
      el("div.column-head", el("label.eyebrow", { htmlFor: "source" }, "Your text"), example, counted),
      input,
      el("div.controls",
        field("Model", model), field("Strength", strength), field("Tone", tone),
        el("div.controls-end", go))),
    el("div.column", out));

  input.addEventListener("input", recount);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  recount();

  function recount() {
    const words = input.value.trim() ? input.value.trim().split(/\s+/).length : 0;
    const over = new TextEncoder().encode(input.value).length - MAX_BYTES;
    counted.textContent = over > 0 ? `${count(over)} bytes too many` : plural(words, "word");
    counted.classList.toggle("bad-text", over > 0);
    example.hidden = words > 0;
    counted.hidden = words === 0;
  }

  let busy = false;
  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    if (!input.value.trim()) {
      input.focus();
      announce("The text is empty.");
      return;
    }
    busy = true;
    form.setAttribute("aria-busy", "true");
    go.textContent = "Humanizing…";
    const text = input.value;
    try {
      const asked = { text, model_id: model.value, strength: strength.value, tone: tone.value };
      const first = await stream("/api/humanize", asked, arriving());
      const answer = first.progress ? await follow(first, (...shown) => out.replaceChildren(head(), ...shown)) : first;
      out.replaceChildren(...(answer.scores ? result(text, answer) : [head(), answer.node]));
      below.replaceChildren(...(answer.scores ? [explanation(answer)] : []));
      if (!answer.scores) return;
      announce(`The rewrite is ready. ${answer.model_id} answered.`);
    } catch (problem) {
      out.replaceChildren(...refusal(text, problem));
      below.replaceChildren();
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
      go.textContent = "Humanize";
    }
  }

  /** Shows the paragraphs of a stream as they come. */
  function arriving() {
    const pane = el("div.pane.prose", { tabIndex: 0, role: "group", "aria-label": "The rewrite so far" });
    return (data) => {
      if (!pane.isConnected) out.replaceChildren(head(), pane);
      pane.append(data.text ?? "");
    };
  }

  async function fillModels() {
    const { items } = await get("/api/models", { limit: 100 }).catch(() => ({ items: [] }));
    const trained = items.filter((item) => item.state === "active").map((item) => [item.id, item.id]);
    const wanted = JSON.stringify(trained);
    if (model.dataset.options === wanted) return;
    model.dataset.options = wanted;
    const chosen = model.value;
    const offered = [...ALWAYS, ...trained];
    model.replaceChildren(...options(offered));
    model.value = offered.some(([value]) => value === chosen) ? chosen : "auto";
  }

  const root = el("section", el("h1", "Humanize"), el("p.lead", "Text in, a natural human voice out. Facts stay: a rewrite that loses one is never an answer."), form, below);
  return { root, show: fillModels, hide() {} };
}

const head = () => el("div.column-head", el("span.eyebrow", "Rewrite"));

const placeholder = () => [
  head(),
  el("div.pane.quiet-pane", el("p.muted", "The rewrite appears here, with what changed marked and scores before and after."), el("p.muted.small", el("kbd", "Ctrl"), " + ", el("kbd", "Enter"), " sends."))];

/** The answered text: changes, clean, or an editor for a correction. */
function result(source, answer) {
  const marked = el("div.pane.prose", { tabIndex: 0, role: "group", "aria-label": "The rewrite with its changes marked" }, markedDiff(source, answer.text, answer.violations));
  const clean = el("div.pane.prose", { tabIndex: 0, role: "group", "aria-label": "The rewrite", hidden: true }, answer.text);
  const editor = el("textarea.pane", { id: "correction", value: answer.text, hidden: true, "aria-label": "Your correction", spellcheck: true });
  const said = el("div", { "aria-live": "polite" });
  const send = el("button.primary", { type: "button", hidden: true, onclick: correct }, "Send correction");
  const panes = { Changes: marked, Clean: clean, Edit: editor };
  const whole = !answer.decisions; // a long text is many decisions, and none of them is about all of it
  if (!whole) delete panes.Edit;
  const tabs = Object.keys(panes).map((name) => el("button", { type: "button", "aria-pressed": String(name === "Changes"), onclick: () => choose(name) }, name));

  function choose(name) {
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.textContent === name));
    for (const [other, pane] of Object.entries(panes)) pane.hidden = other !== name;
    send.hidden = name !== "Edit";
    if (name === "Edit") editor.focus();
  }

  async function correct() {
    await feedback(said, send, { decision_id: answer.decision_id, edited_text: editor.value }, "Thank you. The correction is training data now.");
  }

  return [
    el("div.column-head", el("span.eyebrow", "Rewrite"), el("div.segments", { role: "group", "aria-label": "How the rewrite is shown" }, tabs)),
    marked, clean, editor,
    el("div.controls", whole ? rating(answer, said) : null, el("div.controls-end", copyButton("Copy", () => (editor.hidden ? answer.text : editor.value)), send)),
    said];
}

function rating(answer, said) {
  const name = "rating";
  const choices = [1, 2, 3, 4, 5].map((value) => el("label", { title: `${value} of 5` },
    el("input", { type: "radio", name, value, "aria-label": `${value} of 5`, onchange: (event) => feedback(said, event.target, { decision_id: answer.decision_id, rating: value }, `Rated ${value} of 5.`) }),
    el("span", { "aria-hidden": "true" }, String(value))));
  return el("fieldset.rating", el("legend", "How good is it?"), choices);
}

async function feedback(said, control, body, thanks) {
  if (control.type !== "radio") control.disabled = true;
  try {
    await post("/api/feedback", body);
    said.replaceChildren(note("good", thanks));
  } catch (problem) {
    said.replaceChildren(alarm(problem.message));
  } finally {
    control.disabled = false;
  }
}

/** Why there is no answer; the draft of an unfaithful rewrite is shown as what it is. */
function refusal(source, problem) {
  const head = el("div.column-head", el("span.eyebrow", problem.draft === null ? "Rewrite" : "Refused draft"));
  if (problem.draft === null) return [head, el("div.pane.quiet-pane", alarm(problem.message))];
  return [
    head,
    el("div.pane.prose.draft", { tabIndex: 0, role: "group", "aria-label": "The refused draft, with what it lost marked" }, markedDiff(source, problem.draft, problem.violations)),
    alarm(problem.message, " This draft is not an answer. Choose auto, and a model that keeps the facts will answer."),
    violationTable(problem.violations)];
}

/** del, ins and text nodes; the words that a violation names are marked inside them. */
function markedDiff(before, after, violations) {
  const lost = violations.filter((one) => one.before).map((one) => [one.before, one.kind]);
  const invented = violations.filter((one) => one.after).map((one) => [one.after, one.kind]);
  return diff(before, after).map(({ kind, text }) => {
    if (kind === "same") return document.createTextNode(text);
    return el(kind, marks(text, kind === "del" ? lost : invented));
  });
}

function marks(text, named) {
  for (const [words, kind] of named) {
    const at = text.indexOf(words);
    if (at < 0) continue;
    return [...marks(text.slice(0, at), named), el("mark", { title: `not kept: ${kind}` }, words), ...marks(text.slice(at + words.length), named)];
  }
  return text ? [text] : [];
}

function explanation(answer) {
  const { usage } = answer;
  const [why, ...also] = answer.reasons;
  return el("div.explain",
    el("section", { "aria-labelledby": "scores-title" },
      el("h2", { id: "scores-title" }, "Scores"),
      scoreTable(answer.scores),
      details("scores-guide", "What they mean", facts(SCORES.map(({ title: name, says }) => [name, says])), el("p.hint", "Scores are reported, never promised."))),
    el("section", { "aria-labelledby": "why-title" },
      el("h2", { id: "why-title" }, "Why this answer"),
      why ? el("p", `${why.text}.`.replace(/\.\.$/, ".")) : null,
      also.length ? el("ul.reasons", also.map((reason) => el("li", reason.text))) : null,
      answer.violations.length ? violationTable(answer.violations) : null,
      facts([
        ["Answered by", el("code", answer.model_id)],
        ["Took", `${count(answer.latency_ms)} ms`],
        ["Cost", money(usage.cost_usd)],
        ["Tokens", usage.input_tokens + usage.output_tokens ? `${count(usage.input_tokens)} in, ${count(usage.output_tokens)} out` : null],
        ["Complexity", answer.complexity ? complexity(answer.complexity) : null],
        ["Decision", el("code", answer.decision_id)],
      ])));
}

/** How much the text asks, and of what most. */
function complexity({ score, parts }) {
  const most = Object.entries(parts).sort(([, a], [, b]) => b - a).slice(0, 2).map(([name, value]) => `${name} ${figure(value)}`);
  return `${figure(score)} of 1 (${most.join(", ")})`;
}
