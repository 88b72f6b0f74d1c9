// Image datasets: send an archive and watch it, see what was found in it, class by class.

import { get, remove } from "./api.js";
import { alarm, announce, badge, details, el, facts, field, note, table } from "./dom.js";
import { LiveList } from "./list.js";
import { begin, send } from "./sending.js";
import { ago, count, duration, plural, size } from "./words.js";

export const title = "Datasets";

const ENDED = new Set(["ready", "error"]);
const SHOWN_REJECTED = 20;

export function build() {
  const states = new Map();
  const list = new LiveList({
    path: "/api/datasets",
    unfinished: (dataset) => dataset.state === "processing" || dataset.uploading,
    render: (dataset) => card(dataset, list),
    empty: [el("p", "There is no dataset yet."), el("p.muted", "Send a ZIP of images above, with a folder for each class.")],
    onItems: (datasets) => datasets.forEach(tellChange),
  });

  function tellChange({ id, name, state }) {
    const before = states.get(id);
    states.set(id, state);
    if (before && before !== state && ENDED.has(state)) announce(`Dataset ${name} is ${state === "ready" ? "ready" : "refused"}.`);
  }

  const root = el("section", el("h1", "Datasets"),
    el("p.lead", "Archives of images become training data in place: classes and splits are read off the folders, every image is looked at."),
    form(list), list.root);
  return { root, show: () => list.show(), hide: () => list.hide() };
}

function form(list) {
  const file = el("input", { type: "file", accept: ".zip,application/zip", required: true });
  const name = el("input", { type: "text", required: true, maxLength: 120, autocomplete: "off" });
  const domain = el("input", { type: "text", required: true, maxLength: 120, value: "images", autocomplete: "off" });
  const start = el("button.primary", { type: "submit" }, "Send");
  const stop = el("button.quiet", { type: "button", hidden: true }, "Stop");
  const said = el("div");
  file.addEventListener("change", () => { if (file.files[0] && !name.value) name.value = file.files[0].name.replace(/\.zip$/i, ""); });

  async function submit(event) {
    event.preventDefault();
    const [archive, control] = [file.files[0], new AbortController()];
    stop.onclick = () => control.abort(new Error("Stopped. Send the same file again to go on."));
    [start.disabled, stop.hidden] = [true, false];
    const shown = bar(archive);
    said.replaceChildren(shown.root);
    try {
      const dataset = await begin(archive, { name: name.value.trim(), domain: domain.value.trim() });
      list.refresh();
      list.put(await send(archive, dataset, shown.tell, control.signal));
      said.replaceChildren();
      announce(`${archive.name} is sent and being looked at.`);
      event.target.reset();
    } catch (problem) {
      said.replaceChildren(alarm(problem.message));
    } finally {
      [start.disabled, stop.hidden] = [false, true];
    }
  }

  return el("form.panel", { onsubmit: submit }, el("h2", "Send an archive"),
    field("ZIP of images", file, "Up to 100 GB, straight to storage. JPEG, PNG, WebP, BMP or GIF; a folder for each class, or train, val and test with classes in them, or a manifest.csv."),
    field("Name", name), field("Domain", domain),
    said, el("div.row.end", stop, start));
}

/** How far an archive is on its way. */
function bar(file) {
  const [began, words] = [Date.now(), el("span", "Beginning…")];
  const drawn = el("progress", { max: file.size, value: 0, "aria-label": `Sending ${file.name}` });
  let first = null;
  const tell = (sent) => {
    first ??= sent;
    drawn.value = sent;
    const [seconds, fresh] = [(Date.now() - began) / 1000, sent - first];
    const left = fresh > 0 && seconds > 2 ? `, about ${duration(((file.size - sent) * seconds) / fresh)} left` : "";
    words.textContent = `${size(sent)} of ${size(file.size)}${left}`;
  };
  return { tell, root: el("div.progress", el("div.progress-words", el("span", file.name), words), drawn) };
}

function card(dataset, list) {
  return el("li.card",
    el("div.card-head", badge(dataset.state), el("h2", dataset.name), el("span.card-end.muted", ago(dataset.created_at))),
    el("p.muted", telling(dataset)),
    dataset.reasons.map((reason) => note("bad", reason.text)),
    (dataset.summary.warnings ?? []).map((warning) => el("p.hint", warning.text)),
    dataset.state === "ready" ? found(dataset) : null,
    details("about", "About this dataset", facts([
      ["Dataset", el("code", dataset.id)], ["Domain", dataset.domain], ["Archive", dataset.size_bytes ? size(dataset.size_bytes) : null],
      ["Layout", dataset.summary.layout], ["Stored at", el("code", dataset.storage_path)]]),
    deletion(dataset, list)));
}

function telling(dataset) {
  if (dataset.uploading) return "Not all of it is here. Send the same file again to go on.";
  if (dataset.state === "draft") return "Waits for its archive.";
  const { images, looked } = dataset.progress;
  if (dataset.state === "processing") return `Its images are being looked at${images ? `: ${count(looked)} of ${count(images)}` : ""}…`;
  if (dataset.state === "error") return "Nothing of it is used. Send another archive.";
  const rejected = dataset.summary.rejections ? `, ${count(dataset.summary.rejections)} rejected` : "";
  return `${plural(dataset.total_samples, "image")} in ${plural(dataset.class_count, "class", "classes")}${rejected}`;
}

/** What the intake found; asked for when it is first looked at. */
function found(dataset) {
  const inside = el("div", el("p.muted", "Loading…"));
  const shown = details("found", "Classes, previews and what was left out", inside);
  let asked = false;
  shown.addEventListener("toggle", async () => {
    if (!shown.open || asked) return;
    asked = true;
    try {
      const [report, preview] = await Promise.all([get(`/api/datasets/${dataset.id}/report`), get(`/api/datasets/${dataset.id}/preview`)]);
      inside.replaceChildren(...[balance(report, preview.items), rejected(report), duplicates(report)].flat().filter(Boolean));
    } catch (problem) {
      asked = false;
      inside.replaceChildren(alarm(problem.message));
    }
  });
  return shown;
}

function balance(report, previews) {
  const most = Math.max(1, ...previews.map((one) => one.images));
  const rows = previews.map(({ label, images, urls }) => [
    label, count(images), splits(report.counts[label]),
    el("progress", { max: most, value: images, "aria-label": `${label}: ${images} of at most ${most}` }),
    el("div.thumbs", urls.map((url) => el("img", { src: url, alt: `An image of ${label}`, loading: "lazy" })))]);
  return table("Classes", [["Class"], ["Images", "number"], ["Splits"], ["Balance"], ["Preview"]], rows);
}

const splits = (counts) => Object.entries(counts).filter(([name]) => name !== "unsplit").map(([name, images]) => `${name} ${count(images)}`).join(", ") || "–";

function rejected(report) {
  if (!report.rejections) return null;
  const rows = report.rejected.slice(0, SHOWN_REJECTED).map(({ path, reason }) => [el("code", path), reason]);
  const left = report.rejections - rows.length;
  return [el("h3", "Left out"), table("Left out", [["File"], ["Why"]], rows), left > 0 ? el("p.hint", `And ${plural(left, "more file")}; they stand in ${report.key}.`) : null];
}

function duplicates(report) {
  if (!report.duplicates) return null;
  const rows = report.duplicate_groups.slice(0, SHOWN_REJECTED).map(({ images, count: many }) => [
    count(many), el("div", images.map(({ path }) => el("div", el("code", path))))]);
  return [el("h3", `${plural(report.duplicates, "duplicate")}`), table("Duplicates", [["Times", "number"], ["Files"]], rows)];
}

function deletion(dataset, list) {
  const [said, sure] = [el("div"), el("button.danger", { type: "button", hidden: true }, "Yes, delete it for good")];
  const ask = el("button.quiet", { type: "button", onclick: () => { sure.hidden = false; sure.focus(); } }, "Delete…");
  sure.addEventListener("click", async () => {
    try {
      await remove(`/api/datasets/${dataset.id}`);
      list.items.delete(dataset.id);
      list.draw();
      announce(`Dataset ${dataset.name} is deleted.`);
    } catch (problem) {
      said.replaceChildren(alarm(problem.message));
    }
  });
  ask.dataset.name = "delete";
  return el("div", said, el("div.row.end", ask, sure));
}
