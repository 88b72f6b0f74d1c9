// Model versions: what they are worth, where they came from, which one serves.

import { badge, details, el, facts, note, table } from "./dom.js";
import { LiveList } from "./list.js";
import { ago, figure, percent, size } from "./words.js";

export const title = "Models";

const MOVING = new Set(["queued", "training"]);

export function build() {
  const list = new LiveList({
    path: "/api/models",
    unfinished: (model) => MOVING.has(model.state),
    render: card,
    empty: [el("p", "No model has been trained yet."), el("p.muted", "The rules answer until one passes the gate.")],
  });
  const root = el("section", el("h1", "Models"), el("p.lead", "Every version with its figures on held-out pairs and its lineage. Active is the one that serves."), list.root);
  return { root, show: () => list.show(), hide: () => list.hide() };
}

function card(model) {
  return el("li.card",
    el("div.card-head", badge(model.state), el("h2", model.id), el("span.muted", model.strategy), el("span.card-end.muted", ago(model.created_at))),
    model.error ? note("bad", model.error) : null,
    tiles(model.metrics),
    lineage(model.lineage),
    el("div.card-foot", el("div.opens", figures(model.metrics), artifacts(model.artifacts), settings(model.hyperparameters))));
}

function tiles(metrics) {
  const known = [
    ["edits as asked", percent(metrics.edit_rate), metrics.base_edit_rate === undefined ? null : `base ${percent(metrics.base_edit_rate)}`],
    ["content kept", percent(metrics.content_kept_rate)],
    ["size", size(metrics.size_bytes), metrics.f16_size_bytes ? `16 bit ${size(metrics.f16_size_bytes)}` : null],
    ["tokens per second", metrics.tokens_per_s ? figure(metrics.tokens_per_s) : null],
    ["parity with 16 bit", metrics.parity_passed === undefined ? null : metrics.parity_passed ? "passed" : "failed"],
  ].filter(([, value]) => value !== null && value !== undefined);
  if (!known.length) return null;
  return el("dl.tiles", known.map(([name, value, aside]) => el("div", el("dt", name), el("dd", value, aside ? el("small.muted", aside) : null))));
}

function lineage(told) {
  const rows = [["Trained by job", "job_id"], ["On snapshot", "snapshot_id"], ["Parent", "parent"], ["Base", "base"]];
  return facts(rows.map(([name, key]) => [name, told[key] ? el("code", String(told[key])) : null]));
}

function figures(metrics) {
  const rows = Object.entries(metrics).sort(([a], [b]) => a.localeCompare(b)).map(([name, value]) => [name, figure(value)]);
  return rows.length ? details("figures", "All figures", table("All figures", [["Figure"], ["Value", "num"]], rows)) : null;
}

function artifacts(files) {
  if (!files.length) return null;
  const rows = files.map((file) => [file.path ?? file.uri, size(file.size_bytes) ?? "–", el("code", { title: file.sha256 }, String(file.sha256 ?? "").slice(0, 12))]);
  return details("artifacts", "Artifacts", table("Artifacts", [["File"], ["Size", "num"], ["SHA-256"]], rows));
}

function settings(values) {
  const rows = Object.entries(values).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  return rows.length ? details("settings", "Hyperparameters", table("Hyperparameters", [["Name"], ["Value"]], rows)) : null;
}
