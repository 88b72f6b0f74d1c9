// Training jobs: begin, watch, cancel. What the gate found is said in its own words.

import { remove } from "./api.js";
import { announce, badge, details, el, facts, note, table } from "./dom.js";
import { startForm } from "./jobform.js";
import { panels } from "./jobpanels.js";
import { LiveList } from "./list.js";
import { ago, count, duration, figure, percent } from "./words.js";

export const title = "Jobs";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const STAGES = { train: "Training", evaluate: "Evaluating on held-out pairs", gguf: "Converting and quantizing" };
const ADVISED = new Set(["learning_rate", "epochs"]);
const GATES = { adapter: "Gate, 16 bit", gguf: "Gate, quantized" };

export function build() {
  const states = new Map();
  const list = new LiveList({
    path: "/api/training-jobs",
    unfinished: (job) => !ENDED.has(job.state),
    render: (job) => card(job, cancel),
    empty: [el("p", "No training yet."), el("p.muted", "One starts by itself when enough new pairs have come, or when you start it.")],
    onItems: (jobs) => jobs.forEach(tellChange),
  });
  const begin = startForm((job) => list.put(job));

  function tellChange(job) {
    const before = states.get(job.id);
    states.set(job.id, job.state);
    if (before && before !== job.state) announce(`Job ${job.id} is ${job.state}. ${job.error ?? ""}`);
  }

  async function cancel(job) {
    if (!(await sure(job))) return;
    try {
      list.put(await remove(`/api/training-jobs/${encodeURIComponent(job.id)}`));
    } catch (problem) {
      list.tell(problem);
    }
  }

  const root = el("section",
    el("div.title-row", el("div", el("h1", "Jobs"), el("p.lead", "Every training: what it is doing, and why it ended.")), begin.button),
    begin.form, list.root);
  return { root, show: () => list.show(), hide: () => list.hide() };
}

/** Ask before work is thrown away. */
function sure(job) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { "aria-labelledby": "sure-title", onclose: () => { dialog.remove(); resolve(dialog.returnValue === "yes"); } },
      el("form", { method: "dialog" },
        el("h2", { id: "sure-title" }, "Cancel this training?"),
        el("p.muted", "It stops within seconds. What it has learned so far is not kept as a model."),
        el("p", el("code", job.id)),
        el("div.row.end", el("button.quiet", { value: "no", autofocus: true }, "Keep it running"), el("button.danger", { value: "yes" }, "Cancel it"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

function card(job, cancel) {
  const ended = ENDED.has(job.state);
  return el("li.card",
    el("div.card-head",
      badge(job.state),
      el("h2", job.model_id ?? job.model_name),
      el("span.muted", job.strategy),
      el("span.card-end.muted", ago(job.created_at))),
    ended ? null : progress(job),
    job.error && !told(job) ? note(job.state === "cancelled" ? "plain" : "bad", job.error) : null,
    recovered(job),
    el("div.gates", Object.entries(job.gates ?? {}).map(([name, gate]) => gateNote(name, gate))),
    el("div.card-foot",
      more(job),
      panels(job, ended),
      ended ? null : cancelButton(job, cancel)));
}

/** Why it was begun again, and with what. */
function recovered(job) {
  const told = (job.recoveries ?? []).map((one) => el("li", `Attempt ${one.attempt}: ${one.text}`));
  return told.length ? note("plain", el("ul.reasons", told)) : null;
}

/** Whether the gate's own reasons say all that the error says. */
function told(job) {
  const reasons = Object.values(job.gates ?? {}).flatMap((gate) => gate.reasons ?? []);
  return reasons.length > 0 && reasons.every((reason) => job.error.includes(reason.text));
}

function cancelButton(job, cancel) {
  const button = el("button.quiet", { type: "button", "aria-label": `Cancel job ${job.id}`, onclick: () => cancel(job) }, "Cancel");
  button.dataset.name = "cancel";
  return button;
}

function progress(job) {
  const { step, steps, loss, accuracy, eta_s: eta, epoch, stage } = job.progress ?? {};
  const round = /^trials(\d+)$/.exec(stage ?? "");
  const what = round ? `Searching, round ${Number(round[1]) + 1}` : STAGES[stage] ?? (job.state === "running" ? "Preparing" : "Waiting for its turn");
  const known = Number.isFinite(step) && steps > 0;
  const parts = [
    !known ? null : step === 0 && typeof loss !== "number" ? "starting" : `step ${count(step)} of ${count(steps)}`,
    typeof epoch === "number" ? `epoch ${figure(epoch)}` : null,
    typeof loss === "number" ? `loss ${figure(loss)}` : null,
    typeof accuracy === "number" ? `accuracy ${percent(accuracy)}` : null,
    typeof eta === "number" && step < steps ? `about ${duration(eta)} left` : null,
  ].filter(Boolean);
  const bar = el("progress", { max: 1, "aria-label": `${what}: ${job.id}` });
  if (known) bar.value = Math.min(1, step / steps);
  return el("div.progress",
    el("div.progress-words", el("span", what), el("span.muted.figures", parts.join(" · "))), bar);
}

function gateNote(name, gate) {
  const said = `${GATES[name] ?? `Gate, ${name}`}: ${gate.passed ? "passed" : "refused"}`;
  const metrics = Object.entries(gate.metrics ?? {});
  return el(`div.gate.${gate.passed ? "passed" : "refused"}`,
    el("p", el("strong", said)),
    gate.reasons?.length ? el("ul.reasons", gate.reasons.map((reason) => el("li", reason.text))) : null,
    metrics.length ? details(`gate-${name}`, "Figures", table(`${said}, figures`, [["Figure"], ["Value", "num"]], metrics.map(([metric, value]) => [metric, figure(value)]))) : null);
}

function more(job) {
  return details("about", "About this job",
    facts([
      ["Job", el("code", job.id)],
      ["Started by", job.started_by],
      ["Snapshot", job.snapshot_id ? el("code", job.snapshot_id) : null],
      ["Dataset", job.dataset_id ? el("code", job.dataset_id) : null],
      ["Base model", job.base_model ? el("code", job.base_model) : null],
      ["Priority", job.priority],
      ["Expected cost", job.forecast?.expected_usd ? `${job.forecast.expected_usd.toFixed(2)} USD` : null],
      ["Attempt", String(job.attempt)],
      ["Last change", job.updated_at ? ago(job.updated_at) : null],
      ...Object.entries(job.hyperparameters ?? {}).map(([name, value]) => [name, setting(name, value)]),
    ]));
}

/** A hyperparameter as it was asked for; 0 leaves these to the trainer. */
function setting(name, value) {
  if (ADVISED.has(name) && value === 0) return "auto";
  return el("code", typeof value === "string" ? value : JSON.stringify(value));
}
