// The frame: which view is shown, the key, and whether the API is well. A view is a module and one line in VIEWS.

import { get, key } from "./api.js";
import { announce, el } from "./dom.js";
import * as data from "./data.js";
import * as datasets from "./datasets.js";
import * as drops from "./drops.js";
import * as humanize from "./humanize.js";
import * as jobs from "./jobs.js";
import * as models from "./models.js";

// Each exports title and build() -> {root, show(), hide()}; a view is built once and keeps what was typed into it.
const VIEWS = { humanize, jobs, data, drops, datasets, models };
const FIRST = "humanize";
const HEALTH_MS = 20000;

const built = {};
let current = null;

function route() {
  const name = location.hash.replace(/^#\//, "").split("/")[0];
  show(Object.hasOwn(VIEWS, name) ? name : FIRST);
}

function show(name) {
  if (name === current) return;
  const first = current === null;
  if (!first) {
    built[current].hide();
    built[current].root.hidden = true;
  }
  if (!built[name]) {
    built[name] = VIEWS[name].build();
    document.getElementById("main").append(built[name].root);
  }
  current = name;
  built[name].root.hidden = false;
  built[name].show();
  document.title = `${VIEWS[name].title} · Millrace`;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (first) return;
  window.scrollTo(0, 0);
  const heading = built[name].root.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

async function health() {
  const place = document.getElementById("health");
  let [state, said] = ["bad", "not reachable"];
  try {
    const told = await get("/api/system/health");
    const down = Object.entries(told.dependencies).filter(([, answer]) => answer !== "ok").map(([name]) => name);
    [state, said] = told.status === "ok" ? ["good", told.stage] : ["bad", `degraded: ${down.join(", ")}`];
  } catch { /* said already */ }
  if (place.textContent !== said) place.replaceChildren(el(`span.dot.${state}`, { "aria-hidden": "true" }), el("span.unseen", "API: "), said);
}

function keyDialog() {
  const [dialog, input] = [document.getElementById("key-dialog"), document.getElementById("key-field")];
  const use = (value) => {
    key.set(value.trim());
    dialog.close();
    mark();
    announce(value ? "The key is used from now on." : "The key is forgotten.");
    built[current].show();
  };
  document.getElementById("key-button").addEventListener("click", () => {
    input.value = key.get();
    dialog.showModal();
  });
  document.getElementById("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    use(input.value);
  });
  document.getElementById("key-forget").addEventListener("click", () => use(""));
}

const mark = () => { document.getElementById("key-button").textContent = key.get() ? "Key ✓" : "Key"; };

function watchHealth() {
  if (!document.hidden) health();
  setTimeout(watchHealth, HEALTH_MS);
}

document.getElementById("nav").append(
  ...Object.entries(VIEWS).map(([name, view]) => {
    const link = el("a", { href: `#/${name}` }, view.title);
    link.dataset.view = name;
    return link;
  }),
);
keyDialog();
mark();
window.addEventListener("hashchange", route);
route();
watchHealth();
