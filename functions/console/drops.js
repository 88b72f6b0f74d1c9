// What became of dropped files, row by row where a row was refused, and how to drop one.

import { get, key } from "./api.js";
import { announce, badge, copyButton, details, el, facts, table } from "./dom.js";
import { LiveList } from "./list.js";
import { ago, count, plural } from "./words.js";

export const title = "Drops";

const ENDED = new Set(["collected", "refused"]);
const SHOWN_AT_ONCE = 5;
// The twin takes any key, and the AWS command line asks for one.
const ANY_KEY = "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1";

export function build() {
  const states = new Map();
  const how = el("div.panel");
  let toldFor = null;
  const list = new LiveList({
    path: "/api/drops",
    unfinished: (drop) => !ENDED.has(drop.state),
    render: card,
    empty: [el("p", "Nothing has been dropped yet."), el("p.muted", "Put a file into the drop folder; its report appears here.")],
    onItems: (drops) => drops.forEach(tellChange),
  });

  function tellChange(drop) {
    const before = states.get(drop.id);
    states.set(drop.id, drop.state);
    if (before && before !== drop.state && ENDED.has(drop.state)) announce(`${fileName(drop.key)}: ${sums(drop)}.`);
  }

  async function tellHow() {
    const whose = key.get();
    if (toldFor === whose) return;
    try {
      const [{ drop_bucket: bucket, aws_endpoint: endpoint }, { drop_prefix: prefix }] = await Promise.all([get("/api/system/health"), get("/api/me")]);
      const [program, aws] = endpoint ? [".venv/bin/millrace", `${ANY_KEY} aws --endpoint-url ${endpoint}`] : ["millrace", "aws"];
      const [ours, theirs] = [`${program} drop pairs.csv`, `${aws} s3 cp pairs.csv s3://${bucket}/${prefix}`];
      toldFor = whose;
      how.replaceChildren(
        el("h2", "Drop a file"),
        el("p", "CSV, TSV, JSON, JSON Lines or Parquet, as it is, packed by gzip or in a ZIP. A row has the text, such as ", el("code", "prompt"), ", and how it should read, such as ", el("code", "completion"), "; or a chat's ", el("code", "messages"), ", or a ", el("code", "chosen"), " and a ", el("code", "rejected"), " text. It is collected by event, each row once."),
        ...[ours, theirs].map((line) => el("div.command", el("code", line), copyButton("Copy", () => line))));
    } catch { /* the list beside it says what is wrong */ }
  }

  const root = el("section", el("h1", "Drops"), el("p.lead", "Files of pairs become training data: what was accepted, what was known already, what was refused and why."), how, list.root);
  return { root, show: () => { tellHow(); return list.show(); }, hide: () => list.hide() };
}

const fileName = (key) => key.split("/").at(-1) || key;
const sums = (drop) => `${count(drop.accepted)} accepted, ${count(drop.duplicate)} duplicate, ${count(drop.rejected)} rejected`;

function card(drop) {
  return el("li.card",
    el("div.card-head", badge(drop.state), el("h2", fileName(drop.key)), el("span.card-end.muted", ago(drop.created_at))),
    drop.dataset_id ? el("p", "An archive of images: it became a ", el("a", { href: "#/datasets" }, "dataset"), ".") : ENDED.has(drop.state) ? counts(drop) : el("p.muted", drop.accepted + drop.duplicate + drop.rejected ? `Being collected: ${sums(drop)} so far…` : "Being collected…"),
    refusals(drop),
    details("about", "About this drop", facts([["Drop", el("code", drop.id)], ["Key", el("code", drop.key)], ["Whole report", drop.report ? el("code", drop.report) : null], ["Collected", drop.concluded_at ? ago(drop.concluded_at) : null]])));
}

function counts(drop) {
  const one = (value, name) => el(`div.count.${name}${value ? "" : ".none"}`, el("strong", count(value)), el("span", name));
  return el("div.counts", one(drop.accepted, "accepted"), one(drop.duplicate, "duplicate"), one(drop.rejected, "rejected"));
}

function refusals(drop) {
  if (!drop.reasons.length) return null;
  const rows = runs(drop.reasons).map(({ from, to, reason, file }) => [!from ? "–" : from === to ? count(from) : `${count(from)}–${count(to)}`, file ? `${file}: ${reason}` : reason]);
  const shown = table(`Refused rows of ${fileName(drop.key)}`, [["Line", "num"], ["Why it was refused"]], rows);
  const left = drop.rejected - drop.reasons.length;
  const rest = left > 0 ? el("p.hint", `And ${plural(left, "more row")}; all stand in the report.`) : null;
  return rows.length <= SHOWN_AT_ONCE ? [shown, rest] : details("refusals", `Why ${plural(drop.rejected, "row was", "rows were")} refused`, shown, rest);
}

/** Neighbouring lines with the same reason, as one. */
function runs(reasons) {
  const out = [];
  for (const { line, reason, file } of reasons) {
    const last = out.at(-1);
    if (last && last.reason === reason && last.file === file && last.to + 1 === line) last.to = line;
    else out.push({ from: line, to: line, reason, file });
  }
  return out;
}
