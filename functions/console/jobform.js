// The form that begins a training: a strategy's own schema decides what can be set; the server checks it again.

import { get, post } from "./api.js";
import { alarm, announce, details, el, field, note, select } from "./dom.js";
import { duration } from "./words.js";

const PRIORITIES = [["low", "Low"], ["normal", "Normal"], ["high", "High"]];

export function startForm(onJob) {
  const strategy = el("select", { required: true });
  const name = el("input", { value: "humanizer", required: true, maxLength: 32, pattern: "[a-z][a-z0-9\\-]{1,31}", title: "2 to 32 of a-z, 0-9 and -", spellcheck: false });
  const priority = select(PRIORITIES, "normal");
  const dataset = el("input", { maxLength: 64, spellcheck: false });
  const images = field("Dataset", dataset, "The id of a dataset of images.");
  const base = el("input", { maxLength: 96, spellcheck: false });
  const pairs = field("Base model", base, "What is fine-tuned. Empty: the stage's own.");
  const values = el("div.controls");
  const said = el("div", { role: "status" });
  const start = el("button.primary", { type: "submit", disabled: true }, "Start"); // until the strategies are known
  const cost = el("button.quiet", { type: "button", disabled: true, onclick: forecast }, "What will it cost?");
  const button = el("button.primary", { type: "button", "aria-expanded": "false", onclick: () => open(form.hidden) }, "Start a training");
  const known = new Map();
  let setters = [];
  // One key per intent: a doubled click or a repeated request finds the same job.
  let intent = fresh();
  const form = el("form.panel", { hidden: true, onsubmit: submit, "aria-label": "Start a training" },
    el("div.controls", field("Strategy", strategy), field("Model name", name), field("Priority", priority), images, pairs),
    details("hyperparameters", "Hyperparameters", el("p.hint", "What you leave as it is, the strategy chooses."), values),
    said,
    el("div.row.end", el("button.quiet", { type: "button", onclick: () => open(false) }, "Close"), cost, start));
  strategy.addEventListener("change", chosen);

  async function open(yes) {
    form.hidden = !yes;
    button.setAttribute("aria-expanded", String(yes));
    if (!yes) return button.focus();
    try {
      if (!known.size) await load();
    } catch (problem) {
      said.replaceChildren(alarm(problem.message));
    }
    strategy.focus();
  }

  async function load() {
    for (const one of (await get("/api/strategies")).items) known.set(one.name, one);
    strategy.replaceChildren(...[...known.values()].map((one) => el("option", { value: one.name }, `${one.name}: ${one.title}`)));
    strategy.value = known.has("lora-sft") ? "lora-sft" : [...known.keys()][0];
    chosen();
    start.disabled = cost.disabled = false;
  }

  function chosen() {
    const schema = known.get(strategy.value)?.hyperparameters ?? {};
    setters = Object.entries(schema).map(([key, property]) => setter(key, property));
    values.replaceChildren(...setters.map((one) => one.root));
    images.hidden = known.get(strategy.value)?.data !== "images";
    pairs.hidden = !images.hidden;
  }

  const wanted = () => ({
    strategy: strategy.value,
    model_name: name.value.trim(),
    priority: priority.value,
    ...(images.hidden ? { base_model: base.value.trim() || null } : { dataset_id: dataset.value.trim() || null }),
    hyperparameters: Object.fromEntries(setters.filter((one) => one.changed()).map((one) => [one.key, one.value()])),
  });

  async function forecast() {
    try {
      const told = await post("/api/training-jobs/forecast", wanted());
      const most = told.at_most_usd > 0 ? `, at most ${told.at_most_usd.toFixed(2)} USD` : "";
      said.replaceChildren(note("plain", `About ${told.expected_usd.toFixed(2)} USD and ${duration(told.expected_s)}${most}.`));
    } catch (problem) {
      said.replaceChildren(alarm(problem.message));
    }
  }

  async function submit(event) {
    event.preventDefault();
    start.disabled = true;
    try {
      const job = await post("/api/training-jobs", wanted(), { "idempotency-key": intent });
      onJob(job);
      announce(`Job ${job.id} is ${job.state}.`);
      said.replaceChildren();
      open(false);
      intent = fresh();
    } catch (problem) {
      said.replaceChildren(alarm(problem.message));
      if (problem.status) intent = fresh(); // it was answered: the next try is another intent
    } finally {
      start.disabled = false;
    }
  }
  return { button, form };
}

const fresh = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].join("-");

/** A control for one hyperparameter, by its JSON schema. */
function setter(key, property) {
  const kind = [property.type].flat().find((type) => type !== "null");
  const control = controlOf(kind, property);
  const read = {
    boolean: () => control.checked,
    integer: () => Number(control.value),
    number: () => Number(control.value),
    array: () => control.value.split(",").map((part) => part.trim()).filter(Boolean),
  }[kind] ?? (() => control.value);
  const before = JSON.stringify(read());
  return { key, root: field(key, control, property.description), value: read, changed: () => JSON.stringify(read()) !== before };
}

function controlOf(kind, property) {
  const given = property.default ?? "";
  if (property.enum) return select(property.enum.map((value) => [String(value), String(value)]), String(given));
  if (kind === "boolean") return el("input", { type: "checkbox", checked: given === true });
  if (kind === "integer" || kind === "number") {
    return el("input", { type: "number", value: String(given), min: property.minimum, max: property.maximum, step: kind === "integer" ? 1 : "any" });
  }
  return el("input", { value: Array.isArray(given) ? given.join(", ") : String(given), maxLength: property.maxLength ?? 2500, spellcheck: false });
}
