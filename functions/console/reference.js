// The API reference: /openapi.json as routes by tag, each with what it takes and what it gives. Text nodes only.

import { get } from "./api.js";
import { alarm, el, table } from "./dom.js";
import { plural } from "./words.js";

const VERBS = ["get", "post", "put", "patch", "delete"];
const LIMITS = [
  ["minimum", "at least"], ["exclusiveMinimum", "over"], ["maximum", "at most"], ["exclusiveMaximum", "under"],
  ["minLength", "at least", "characters"], ["maxLength", "at most", "characters"],
  ["minItems", "at least", "items"], ["maxItems", "at most", "items"], ["pattern", "matches"],
];

let shapes = {};

const refName = (ref) => ref.split("/").at(-1);
const shown = (name) => name.split("__").at(-1);
const shapeOf = (ref) => (Object.hasOwn(shapes, refName(ref)) ? shapes[refName(ref)] : {});
const slug = (...words) => words.join("-").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
const success = (code) => code.startsWith("2");

/** A schema's type in words: "array of Text", "string or null". */
function typed(schema) {
  if (!schema) return "nothing";
  if (schema.$ref) return shown(refName(schema.$ref));
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (several) return several.map(typed).join(schema.allOf ? " and " : " or ");
  if (schema.type === "array") return schema.items ? `array of ${typed(schema.items)}` : "array";
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `object of ${typed(schema.additionalProperties)}`;
  return [schema.type ?? "anything"].flat().join(" or ");
}

/** What a value must keep to, also where it may be null instead. */
function limits(schema) {
  const bearers = [schema, ...(schema.anyOf ?? [])];
  const told = bearers.flatMap((one) => LIMITS.filter(([name]) => name in one).map(([name, words, unit]) => [words, String(one[name]), unit].filter(Boolean).join(" ")));
  if (schema.default !== undefined && schema.default !== null) told.push(`${JSON.stringify(schema.default)} where absent`);
  return told.join(", ");
}

/** The named parts inside a schema, as an indented list; null where it has none. A shape inside itself is only named. */
function outline(schema, above = []) {
  const parts = properties(schema, above);
  return parts.length ? el("ul.outline", parts) : null;
}

function properties(schema, above) {
  if (!schema || above.includes(schema.$ref)) return [];
  if (schema.$ref) return properties(shapeOf(schema.$ref), [...above, schema.$ref]);
  const several = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((list) => list ?? []);
  const inner = [...several, schema.items, schema.additionalProperties].filter((one) => one && typeof one === "object");
  const own = Object.entries(schema.properties ?? {}).map(([name, part]) => property(name, part, schema.required?.includes(name), above));
  return [...own, ...inner.flatMap((one) => properties(one, above))];
}

function property(name, schema, required, above) {
  return el("li",
    el("b", name), " ", el("code.muted", typed(schema)), required ? el("span.asked", " required") : null,
    limits(schema) ? el("span.muted.small", ` · ${limits(schema)}`) : null,
    schema.description ? el("span.said", schema.description) : null,
    outline(schema, above));
}

function body(title, content, description) {
  return Object.entries(content ?? {}).map(([type, { schema }]) => [
    el("h3", title, " · ", el("code", schema ? typed(schema) : type)),
    description ? el("p.muted.small", description) : null,
    outline(schema ?? {}),
  ]);
}

function parameters(list, where) {
  if (!list?.length) return null;
  const rows = list.map((one) => [el("code", one.name), one.in, one.required ? "yes" : "no", el("code", typed(one.schema)), [one.description ?? one.schema?.description, limits(one.schema ?? {})].filter(Boolean).join("; ")]);
  return [el("h3", "Parameters"), table(`Parameters of ${where}`, [["Name"], ["In"], ["Required"], ["Type"], ["About"]], rows)];
}

function statuses(responses, where) {
  const rows = Object.entries(responses).map(([code, { description, content }]) => {
    const given = Object.values(content ?? {}).map(({ schema }) => schema).filter(Boolean);
    const names = given.map((schema) => (!success(code) && schema.$ref ? el("a", { href: `#${slug("shape", refName(schema.$ref))}` }, typed(schema)) : el("code", typed(schema))));
    return [el("code", code), description ?? "", names.length ? names : "no body"];
  });
  return [el("h3", "Status codes"), table(`Status codes of ${where}`, [["Code"], ["When"], ["Body"]], rows)];
}

function operation({ verb, path, told }) {
  const where = `${verb.toUpperCase()} ${path}`;
  return el("details.operation", { id: slug(verb, path) },
    el("summary", el(`span.verb.${verb}`, verb.toUpperCase()), el("code", path), el("span", told.summary ?? "")),
    el("div.inside",
      told.description ? el("p", told.description) : null,
      parameters(told.parameters, where),
      body("Request", told.requestBody?.content),
      Object.entries(told.responses).filter(([code]) => success(code)).map(([code, { content }]) => body(`Response ${code}`, content)),
      statuses(told.responses, where)));
}

/** The shapes that errors have, said once rather than with every route. */
function failures(operations) {
  const schemas = operations.flatMap(({ told }) => Object.entries(told.responses))
    .filter(([code]) => !success(code)).flatMap(([, { content }]) => Object.values(content ?? {}));
  const refs = [...new Set(schemas.map(({ schema }) => schema?.$ref).filter(Boolean))];
  if (!refs.length) return null;
  return el("section.tag", el("h2", { id: "errors" }, "Errors"), refs.map((ref) => el("details.operation", { id: slug("shape", refName(ref)) },
    el("summary", el("code", shown(refName(ref)))),
    el("div.inside", shapeOf(ref).description ? el("p.muted", shapeOf(ref).description) : null, outline({ $ref: ref })))));
}

function build(api) {
  shapes = api.components?.schemas ?? {};
  const operations = Object.entries(api.paths).flatMap(([path, verbs]) => VERBS.filter((verb) => Object.hasOwn(verbs, verb)).map((verb) => ({ verb, path, told: verbs[verb] })));
  const byTag = new Map();
  for (const one of operations) {
    const tag = one.told.tags?.[0] ?? "other";
    byTag.set(tag, [...(byTag.get(tag) ?? []), one]);
  }
  const root = document.getElementById("reference");
  const links = [...byTag.keys()].map((tag) => el("a", { href: `#${slug("tag", tag)}` }, tag));
  const all = el("button.quiet", { type: "button", onclick: () => {
    const open = root.querySelector("details:not([open])") !== null;
    root.querySelectorAll("details").forEach((node) => { node.open = open; });
    all.textContent = open ? "Close all" : "Open all";
  } }, "Open all");
  const sections = [...byTag].map(([tag, those]) => el("section.tag", el("h2", { id: slug("tag", tag) }, tag), those.map(operation)));
  document.getElementById("lead").textContent = `${api.info.description ?? api.info.title} ${plural(operations.length, "route")}, version ${api.info.version}. A key goes into x-api-key or, as a bearer token, into authorization; the local twin needs none.`;
  root.replaceChildren(el("nav.contents", { "aria-label": "Routes by tag" }, links, el("a", { href: "#errors" }, "errors"), all), ...[...sections, failures(operations)].filter(Boolean));
}

/** Open what the address names. */
function follow() {
  const named = document.getElementById(location.hash.slice(1));
  if (!named?.matches("details")) return;
  named.open = true;
  named.scrollIntoView();
  named.firstChild.focus();
}

try {
  build(await get("/openapi.json"));
  window.addEventListener("hashchange", follow);
  follow();
} catch (problem) {
  document.getElementById("lead").replaceChildren();
  document.getElementById("reference").replaceChildren(alarm(problem.message));
}
