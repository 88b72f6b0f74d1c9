// A long text's job: shown while it goes on, until its result is there.

import { get, Problem, remove } from "./api.js";
import { announce, el } from "./dom.js";
import { count } from "./words.js";

const LOOK_MS = 1_500;
const ENDED = ["completed", "failed", "cancelled"];

/** The job's answer; for one too large to be told here, { node } with the way to it. `show` is given what to see meanwhile. */
export async function follow(job, show) {
  announce("The text is long: it is rewritten as a job.");
  const stop = stopper(job);
  for (; !ENDED.includes(job.state); job = await get(`/api/humanize/jobs/${job.id}`)) {
    show(progress(job, stop));
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  if (job.state === "failed") throw new Problem(job.problem?.status ?? 503, job.problem ?? { detail: job.error });
  if (job.state === "cancelled") throw new Problem(409, { detail: "The rewrite was stopped." });
  return job.result ?? { node: link(job) };
}

function progress(job, stop) {
  const { step, steps } = job.progress;
  const bar = el("progress", { max: steps, value: step, "aria-label": `Rewriting: ${job.id}` });
  return el("div.pane.quiet-pane",
    el("div.progress",
      el("div.progress-words", el("span", job.state === "pending" ? "Waiting for its turn" : "Rewriting"),
        el("span.muted.figures", `${count(step)} of ${count(steps)} paragraphs`)), bar),
    el("p.muted.small", "This page may be left: ", el("code", `GET /api/humanize/jobs/${job.id}`), " tells the result."),
    stop);
}

/** Stops the work; the next look at the job tells how it ended, also where it ended first. */
function stopper(job) {
  const button = el("button.quiet", { type: "button", onclick: async () => {
    button.disabled = true;
    await remove(`/api/humanize/jobs/${job.id}`).catch((problem) => announce(problem.message));
  } }, "Stop");
  return button;
}

const link = (job) => el("div.pane.quiet-pane",
  el("p", "The rewrite is done. It is too large to be shown here."),
  el("p", el("a", { href: job.result_url, download: `${job.id}.json` }, "Download the result (JSON)")));
