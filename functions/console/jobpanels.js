// What a job said and how its loss went: opened by a person, followed while open and the job unfinished.

import { get } from "./api.js";
import { details, el } from "./dom.js";
import { count, figure } from "./words.js";

const EVERY_MS = 2000;
const LINES = 2000; // shown at most, the newest
const WIDTH = 600, HEIGHT = 160, MARGIN = 6;
const SVG = "http://www.w3.org/2000/svg";
const kept = new Map();

/** The panels of a job: the same elements each time, so that what is open stays open when its card is built anew. */
export function panels(job, ended) {
  if (!kept.has(job.id)) kept.set(job.id, [logPanel(job.id), curvePanel(job.id)]);
  const made = kept.get(job.id);
  for (const panel of made) panel.told(job, ended);
  return made.map((panel) => panel.root);
}

function panel(name, summary, content, refresh) {
  const root = details(name, summary, content);
  const state = { attempt: 1, ended: false, timer: null };
  async function again() {
    clearTimeout(state.timer);
    if (!root.open || !root.isConnected) return;
    let more = true;
    try {
      more = await refresh(state);
    } catch (problem) {
      content.replaceChildren(el("p.muted", problem.message));
    }
    if (more || !state.ended) state.timer = setTimeout(again, EVERY_MS);
  }
  root.addEventListener("toggle", again);
  return { root, told: (job, ended) => Object.assign(state, { attempt: job.attempt, ended }) };
}

function logPanel(id) {
  const lines = el("pre.log", { tabIndex: 0, role: "log", "aria-label": `Log of job ${id}` });
  let cursor = null, attempt = null;
  return panel("log", "Log", lines, async (state) => {
    if (attempt !== state.attempt) {
      [cursor, attempt] = [null, state.attempt];
      lines.replaceChildren();
    }
    const page = await get(`/api/training-jobs/${encodeURIComponent(id)}/logs`, { attempt, limit: 100, cursor });
    if (!page.items.length && !lines.childElementCount) lines.replaceChildren("Nothing yet.");
    else if (page.items.length && !lines.childElementCount) lines.replaceChildren();
    const bottom = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 4;
    lines.append(...page.items.map((line) => el("span", `${line.text}\n`)));
    while (lines.childElementCount > LINES) lines.firstElementChild.remove();
    if (bottom) lines.scrollTop = lines.scrollHeight;
    cursor = page.next;
    return page.items.length > 0 && page.next !== null;
  });
}

function curvePanel(id) {
  const box = el("div.curve");
  return panel("curve", "Loss curve", box, async (state) => {
    const told = await get(`/api/training-jobs/${encodeURIComponent(id)}/metrics`, { attempt: state.attempt });
    const points = (told.parts.train ?? []).filter((point) => typeof point.loss === "number");
    box.replaceChildren(points.length > 1 ? curve(points) : el("p.muted", "No figures yet."));
    return false;
  });
}

/** A line of loss over steps, with its ends in words. */
function curve(points) {
  const xs = points.map((point) => point.step), ys = points.map((point) => point.loss);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const x = (value) => MARGIN + ((value - left) / (right - left || 1)) * (WIDTH - 2 * MARGIN);
  const y = (value) => HEIGHT - MARGIN - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * MARGIN);
  const words = `Loss ${figure(ys[0])} at step ${count(xs[0])}, ${figure(ys.at(-1))} at step ${count(xs.at(-1))}`;
  const line = shape("polyline", { points: points.map((point) => `${x(point.step).toFixed(1)},${y(point.loss).toFixed(1)}`).join(" "), fill: "none", stroke: "currentColor", "stroke-width": 2 });
  const drawing = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words });
  drawing.append(line);
  return el("figure", drawing, el("figcaption.muted", `${words}; lowest ${figure(low)}.`));
}

function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
