// Building elements. Text goes in as text nodes, always: nothing here, or anywhere in the console, parses HTML.

/** el("p.muted", {id: "x", onclick: f}, "text", child, [children]) */
export function el(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  const isProperties = (value) => value !== null && typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);
  if (isProperties(rest[0])) assign(node, rest.shift());
  node.append(...rest.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function assign(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !name.includes("-") && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
}

let counter = 0;
/** A label tied to its control. */
export function field(label, control, hint) {
  control.id ||= `field-${++counter}`;
  const said = hint ? el("p.hint", { id: `${control.id}-hint` }, hint) : null;
  if (said) control.setAttribute("aria-describedby", said.id);
  return el("div.field", el("label", { htmlFor: control.id }, label), control, said);
}

export const options = (pairs) => pairs.map(([value, text]) => el("option", { value }, text));

export function select(pairs, chosen) {
  const control = el("select", options(pairs));
  control.value = chosen;
  return control;
}

export const badge = (state) => el(`span.badge.is-${/^[a-z]+$/.test(state) ? state : "unknown"}`, state);

/** Terms and what they are: rows of [term, value]; rows without a value are left out. */
export function facts(rows) {
  const told = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl.facts", told.map(([term, value]) => el("div", el("dt", term), el("dd", value))));
}

/** A table with a caption that screen readers say. columns: [[text, class?]]; rows: arrays of cells, the first a row head. */
export function table(caption, columns, rows) {
  const head = el("tr", columns.map(([text, kind]) => el(`th${kind ? `.${kind}` : ""}`, { scope: "col" }, text)));
  const body = rows.map((cells) => el("tr", cells.map((cell, at) => {
    const kind = columns[at][1] ? `.${columns[at][1]}` : "";
    return at === 0 ? el(`th${kind}`, { scope: "row" }, cell) : el(`td${kind}`, cell);
  })));
  // A wide table scrolls in its own box, which the keyboard can reach.
  return el("div.table-box", { tabIndex: 0, role: "group", "aria-label": caption },
    el("table", el("caption.unseen", caption), el("thead", head), el("tbody", body)));
}

export const note = (kind, ...children) => el(`div.note.${kind}`, ...children);

/** A note about what was just tried: said at once. */
export const alarm = (...children) => el("div.note.bad", { role: "alert" }, ...children);

/** Make `list` show `items` in order, building only what changed; focus and opened details survive. */
export function keyed(list, items, id, render) {
  const standing = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const wanted = items.map((item) => {
    const print = JSON.stringify(item);
    const old = standing.get(String(id(item)));
    if (old && old.dataset.print === print) return old;
    const fresh = render(item);
    fresh.dataset.key = id(item);
    fresh.dataset.print = print;
    if (old) replace(old, fresh);
    return fresh;
  });
  const kept = new Set(wanted);
  for (const node of [...list.children]) if (!kept.has(node)) node.remove();
  wanted.forEach((node, at) => { if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null); });
}

function replace(old, fresh) {
  const opened = new Set([...old.querySelectorAll("details[open]")].map((node) => node.dataset.name));
  for (const node of fresh.querySelectorAll("details")) if (opened.has(node.dataset.name)) node.open = true;
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset.name : null;
  old.replaceWith(fresh);
  if (focused) fresh.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
}

export function details(name, summary, ...children) {
  const node = el("details", el("summary", summary), ...children);
  node.dataset.name = name;
  const head = node.firstChild;
  head.dataset.name = `${name}-summary`;
  return node;
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function copyButton(label, text) {
  const button = el("button.quiet", { type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy by hand";
    }
    setTimeout(() => { button.textContent = label; }, 1600);
  } }, label);
  return button;
}
