// Training data: looked through by filter, judged, sent in, fetched as a file, and forgotten.

import { get, post, remove } from "./api.js";
import { alarm, announce, badge, details, el, facts, field, note, select } from "./dom.js";
import { ago, count, plural } from "./words.js";

export const title = "Data";

const ANY = ["", "any"];
const SPLITS = [ANY, ["train", "train"], ["validation", "validation"], ["test", "test"]];
const ORIGINS = [ANY, ...["answer", "drop", "api", "edit", "accepted", "negative"].map((name) => [name, name])];
const SAID = [ANY, ...["rated", "up", "down", "accepted", "edited", "rejected"].map((name) => [name, name])];
const QUALITIES = [ANY, ["0.5", "0.5 or better"], ["0.8", "0.8 or better"], ["0.9", "0.9 or better"]];
const FORMATS = [["jsonl", "JSON Lines"], ["csv", "CSV"], ["parquet", "Parquet"]];
const SHAPES = [["pair", "pairs"], ["chat", "chats"], ["preference", "preferences"]];
const POLL_MS = 1500;

export function build() {
  const search = el("input", { type: "search", maxLength: 200, placeholder: "words that all occur" });
  const [quality, split, origin, said] = [select(QUALITIES, ""), select(SPLITS, ""), select(ORIGINS, ""), select(SAID, "")];
  const [since, until] = [el("input", { type: "date" }), el("input", { type: "date" })];
  const [list, trouble, summary] = [el("ul.cards"), el("div"), el("div.panel")];
  const empty = el("div.empty", { hidden: true }, el("p", "No data point is like that."), el("p.muted", "Drop a file, correct an answer, or ask for fewer things at once."));
  const more = el("button.quiet", { type: "button", hidden: true, onclick: () => load(false) }, "Show older");
  let [next, turn, asked] = [null, 0, false];

  /** What the list is asked for; an empty field is no filter. */
  function wanted() {
    const day = (input, time) => (input.value ? `${input.value}T${time}Z` : "");
    const all = { search: search.value.trim(), min_quality: quality.value, split: split.value, origin: origin.value, feedback: said.value, since: day(since, "00:00:00"), until: day(until, "23:59:59.999") };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
  }

  async function load(fresh) {
    const mine = ++turn;
    if (fresh) next = null;
    more.disabled = true;
    try {
      const page = await get("/api/training-data", { ...wanted(), ...(next ? { cursor: next } : {}) });
      if (mine !== turn) return; // a later question is on its way
      if (fresh) list.replaceChildren();
      list.append(...page.items.map((point) => card(point)));
      next = page.next;
      trouble.replaceChildren();
      empty.hidden = list.children.length > 0 || next !== null;
      more.hidden = next === null;
      more.textContent = list.children.length ? "Show older" : "Look further back";
      if (fresh) announce(`${plural(list.children.length, "data point")}${next ? " and more" : ""}.`);
    } catch (problem) {
      if (mine === turn) trouble.replaceChildren(alarm(problem.message));
    }
    more.disabled = false;
  }

  async function tellStats() {
    try {
      const told = await get("/api/training-data/stats");
      const mean = (value) => (value === null ? null : value.toFixed(2));
      summary.replaceChildren(el("h2", "In all"), facts([
        ["Usable examples", count(told.usable)], ["New since the last training", count(Math.max(0, told.usable + told.deleted - told.trained))],
        ["Mean quality", mean(told.all.mean_quality)], ["Less machine-like by", mean(told.all.mean_improvement)],
        ["Near duplicates", count(told.all.near_duplicates)], ["Corrected", count(told.feedback.edited)], ["Accepted", count(told.feedback.accepted)], ["Rejected", count(told.feedback.rejected)],
      ]));
    } catch { /* the list below says what is wrong */ }
  }

  const form = el("form.panel", { onsubmit: (event) => { event.preventDefault(); load(true); } },
    el("div.grid", field("Search", search), field("Quality", quality), field("Split", split), field("Origin", origin), field("Feedback", said), field("From", since), field("To", until)),
    el("div.row", el("button.primary", { type: "submit" }, "Show"), el("button.quiet", { type: "reset", onclick: () => setTimeout(() => load(true)) }, "Clear")));
  const root = el("section", el("h1", "Data"), el("p.lead", "What models are trained on: examples, corrections and answers, with how good each is and why."),
    summary, form, exporter(wanted), adder(() => load(true)), trouble, list, empty, el("div.row.center", more));
  return { root, show: () => { tellStats(); if (!asked) { asked = true; return load(true); } return null; }, hide: () => {} };
}

function card(point) {
  const node = el("li.card",
    el("div.card-head", badge(point.origin), el("h2", point.split), el("span.card-end.muted", ago(point.created_at))),
    text("Source", point.source), text("Target", point.target), point.rejected ? text("Rejected", point.rejected) : null,
    quality(point), point.origin === "answer" ? judge(point) : null,
    details("about", "About this data point", facts([
      ["Id", el("code", point.id)], ["From", el("code", point.origin_ref)], ["Model", point.model_id], ["Consent", point.consent],
      ["Masked", Object.entries(point.masked).map(([kind, number]) => `${number} ${kind}`).join(", ")],
      ["Feedback", point.feedback?.kinds.join(", ")], ["Edit cost", point.feedback?.edit_cost],
    ])), forget(point, () => node));
  return node;
}

const text = (name, value) => el("div.field", el("span.hint", name), el("p.text", value));

function quality(point) {
  if (!point.quality) return el("p.muted", "Being rated…");
  const { score, reasons, improvement } = point.quality;
  return el("div", el("p", el("strong", `Quality ${score.toFixed(2)}`), `, less machine-like by ${improvement.toFixed(2)}`), reasons.length ? el("ul", reasons.map((reason) => el("li", reason.text))) : null);
}

function judge(point) {
  const place = el("div", { role: "status" });
  const say = async (body, thanks) => {
    try {
      await post("/api/feedback", { decision_id: point.id, ...body });
      place.replaceChildren(note("good", thanks));
    } catch (problem) {
      place.replaceChildren(alarm(problem.message));
    }
  };
  return el("div", el("div.row",
    el("button.quiet", { type: "button", onclick: () => say({ thumbs: "up" }, "It is an example now.") }, "Good as it is"),
    el("button.quiet", { type: "button", onclick: () => say({ rejected: true }, "Models will learn not to write so.") }, "Not like this")), place);
}

function forget(point, card) {
  const place = el("div");
  const really = async () => {
    try {
      const { touched } = await remove(`/api/training-data/${encodeURIComponent(point.id)}`);
      const names = [...touched.snapshots, ...touched.jobs, ...touched.models];
      card().replaceChildren(note("good", names.length ? `Deleted. It had been used in ${names.join(", ")}.` : "Deleted. Nothing had been trained on it."));
      announce("The data point is deleted.");
    } catch (problem) {
      place.replaceChildren(alarm(problem.message));
    }
  };
  const ask = () => {
    const yes = el("button", { type: "button", onclick: really }, "Delete for good");
    place.replaceChildren(el("div.row", yes, el("button.quiet", { type: "button", onclick: () => place.replaceChildren() }, "Keep it")));
    yes.focus();
  };
  return el("div", el("button.quiet", { type: "button", "aria-label": `Delete ${point.id}`, onclick: ask }, "Delete…"), place);
}

function exporter(wanted) {
  const [format, shape, place] = [select(FORMATS, "jsonl"), select(SHAPES, "pair"), el("div", { role: "status" })];
  const follow = async (id) => {
    const told = await get(`/api/training-data/exports/${id}`);
    if (told.state === "ready") place.replaceChildren(el("a", { href: told.url }, `Fetch ${plural(told.rows, "row")}`));
    else if (told.state === "failed") place.replaceChildren(alarm(told.error));
    else setTimeout(() => follow(id).catch((problem) => place.replaceChildren(alarm(problem.message))), POLL_MS);
  };
  const ask = async (event) => {
    event.preventDefault();
    try {
      const { min_quality: least, ...rest } = wanted();
      const export_ = await post("/api/training-data/exports", { format: format.value, shape: shape.value, ...rest, ...(least ? { min_quality: Number(least) } : {}) });
      place.replaceChildren(el("p.muted", "The file is being written…"));
      await follow(export_.id);
    } catch (problem) {
      place.replaceChildren(alarm(problem.message));
    }
  };
  return details("export", "Export what is shown", el("form", { onsubmit: ask }, el("div.grid", field("Format", format), field("As", shape)), el("button.primary", { type: "submit" }, "Make the file")), place);
}

function adder(done) {
  const [source, target, place] = [el("textarea", { rows: 3, required: true }), el("textarea", { rows: 3, required: true }), el("div", { role: "status" })];
  const add = async (event) => {
    event.preventDefault();
    try {
      const [told] = await post("/api/training-data", { items: [{ source: source.value, target: target.value }] });
      place.replaceChildren(note("good", told.new ? "Added." : "It was there already."));
      if (told.new) { source.value = ""; target.value = ""; }
      done();
    } catch (problem) {
      place.replaceChildren(alarm(problem.message));
    }
  };
  return details("add", "Add an example", el("form", { onsubmit: add }, field("The text", source), field("How it should read", target), el("button.primary", { type: "submit" }, "Add it")), place);
}
