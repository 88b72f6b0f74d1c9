// Word diff: the shortest edit from one text to another over words and marks. Pure.
//
// Myers 1986, greedy, O((N+M)D) time; past MAX_EDITS the part that differs is shown as one replacement.

const MAX_EDITS = 4000; // 16 M steps of trace, 32 MB at most
const TOKEN = /[\p{L}\p{N}]+(?:['’.,:/@-][\p{L}\p{N}]+)*|\s+|[^\p{L}\p{N}\s]/gu;

export const tokens = (text) => text.match(TOKEN) ?? [];

/** [{kind: "same" | "del" | "ins", text}]; the same and del parts make `before`, the same and ins parts `after`. */
export function diff(before, after) {
  const [a, b] = [tokens(before), tokens(after)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const middle = myers(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const same = (list) => list.map((text) => ({ kind: "same", text }));
  return joined([...same(a.slice(0, head)), ...middle, ...same(a.slice(a.length - tail))]);
}

function myers(a, b) {
  const [n, m] = [a.length, b.length];
  const all = [...a.map((text) => ({ kind: "del", text })), ...b.map((text) => ({ kind: "ins", text }))];
  if (!n || !m) return all;
  const most = Math.min(n + m, MAX_EDITS);
  const trace = [];
  let reached = new Int32Array(3);
  for (let d = 0; d <= most; d += 1) {
    const row = new Int32Array(2 * d + 3); // furthest x on diagonal k, at k + d + 1
    for (let k = -d; k <= d; k += 2) {
      const [below, right] = [reached[k - 1 + d] ?? 0, reached[k + 1 + d] ?? 0];
      let x = d === 0 ? 0 : k === -d || (k !== d && below < right) ? right : below + 1;
      while (x < n && x - k < m && x - k >= 0 && a[x] === b[x - k]) x += 1;
      row[k + d + 1] = x;
      if (x >= n && x - k >= m) return walk(a, b, trace, d, k);
    }
    trace.push(row);
    reached = row;
  }
  return all;
}

function walk(a, b, trace, d, k) {
  const parts = [];
  let [x, y] = [a.length, b.length];
  for (; d > 0; d -= 1) {
    const row = trace[d - 1];
    const [below, right] = [row[k - 1 + d], row[k + 1 + d]];
    const down = k === -d || (k !== d && below < right);
    const from = down ? k + 1 : k - 1;
    const startX = down ? right : below;
    while (x > startX + (down ? 0 : 1) && y > startX - from + (down ? 1 : 0)) {
      parts.push({ kind: "same", text: a[x - 1] });
      [x, y] = [x - 1, y - 1];
    }
    parts.push(down ? { kind: "ins", text: b[y - 1] } : { kind: "del", text: a[x - 1] });
    [x, y, k] = [startX, startX - from, from];
  }
  for (; x > 0; x -= 1) parts.push({ kind: "same", text: a[x - 1] });
  return parts.reverse();
}

/** Neighbours of a kind joined; a lone blank between two changes belongs to the change. */
function joined(parts) {
  const out = [];
  let [gone, come] = ["", ""];
  const flush = () => {
    const blank = gone && come ? gone.match(/\s*$/)[0] : ""; // a blank that both end with was not changed
    const shared = blank && come.endsWith(blank) ? blank.length : 0;
    if (gone) out.push({ kind: "del", text: gone.slice(0, gone.length - shared) });
    if (come) out.push({ kind: "ins", text: come.slice(0, come.length - shared) });
    if (shared) out.push({ kind: "same", text: blank });
    [gone, come] = ["", ""];
  };
  parts.forEach((part, at) => {
    if (part.kind === "del") gone += part.text;
    else if (part.kind === "ins") come += part.text;
    else if ((gone || come) && !part.text.trim() && parts[at + 1] && parts[at + 1].kind !== "same") {
      gone += part.text;
      come += part.text;
    } else {
      flush();
      const last = out.at(-1);
      if (last?.kind === "same") last.text += part.text;
      else out.push({ kind: "same", text: part.text });
    }
  });
  flush();
  return out.filter((part) => part.text);
}
