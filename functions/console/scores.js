// Scores and violations in plain words. A score that has no line here is shown under its own name.

import { el, table } from "./dom.js";
import { figure } from "./words.js";

// better: +1 where more is better, -1 where less is, 0 where it depends.
export const SCORES = [
  { name: "readability", title: "Readability", better: 1, says: "Flesch reading ease: about 60 is plain English, higher is easier." },
  { name: "ai_likeness", title: "AI-likeness", better: -1, says: "An estimate from style alone, 0 to 1; lower reads more human. It can be wrong." },
  { name: "cliche_density", title: "Clichés", better: -1, says: "How thick stock phrases lie; lower is better." },
  { name: "burstiness", title: "Rhythm", better: 1, says: "How much the length of sentences varies; people vary it more." },
  { name: "lexical_diversity", title: "Vocabulary", better: 0, says: "Share of different words, 0 to 1." },
  { name: "words", title: "Words", better: 0, says: "How many there are." },
  { name: "sentences", title: "Sentences", better: 0, says: "How many there are." },
];
const KNOWN = new Map(SCORES.map((score, at) => [score.name, { ...score, at }]));

export function scoreTable({ before, after }) {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  names.sort((a, b) => (KNOWN.get(a)?.at ?? 99) - (KNOWN.get(b)?.at ?? 99));
  const rows = names.map((name) => {
    const known = KNOWN.get(name) ?? { title: name.replaceAll("_", " "), better: 0 };
    return [known.title, figure(before[name]), figure(after[name]), change(after[name] - before[name], known.better)];
  });
  return table("Scores before and after", [["Measure"], ["Before", "num"], ["After", "num"], ["Change", "num"]], rows);
}

function change(delta, better) {
  if (!Number.isFinite(delta) || Math.abs(delta) < 0.0005) return el("span.muted", "same");
  const text = `${delta > 0 ? "+" : "−"}${figure(Math.abs(delta))}`;
  if (!better) return text;
  const good = Math.sign(delta) === better;
  return el(`span.${good ? "good-text" : "bad-text"}`, text, el("span.unseen", good ? " (better)" : " (worse)"));
}

const KINDS = {
  number: "number", date: "date", name: "name", quote: "quotation", url: "link", code: "code", citation: "citation",
  negation: "negation", unit: "unit", structure: "structure", length: "length", similarity: "meaning", marker: "marker",
  empty: "empty answer",
};

export function violationTable(violations) {
  const rows = violations.map((one) => [KINDS[one.kind] ?? one.kind, one.before || "–", one.after || "–"]);
  return table("What the rewrite did not keep", [["Not kept"], ["In your text"], ["In the rewrite"]], rows);
}
