// How numbers, times and sizes are said.

const number = (digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits });
const [whole, two, three] = [number(0), number(2), number(3)];

export const count = (value) => whole.format(value);
export const figure = (value) => (typeof value !== "number" ? String(value ?? "–") : Math.abs(value) >= 100 ? whole.format(value) : Math.abs(value) >= 10 ? two.format(value) : three.format(value));
export const percent = (value) => (typeof value === "number" ? `${number(1).format(value * 100)} %` : null);
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function size(bytes) {
  if (typeof bytes !== "number") return null;
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let at = 0;
  for (; bytes >= 1000 && at < units.length - 1; at += 1) bytes /= 1000;
  return `${number(at ? 1 : 0).format(bytes)} ${units[at]}`;
}

export function duration(seconds) {
  if (typeof seconds !== "number") return null;
  if (seconds < 90) return `${whole.format(Math.max(1, seconds))} s`;
  return seconds < 5400 ? `${whole.format(seconds / 60)} min` : `${number(1).format(seconds / 3600)} h`;
}

export const money = (usd) => (usd ? `$${usd < 0.01 ? usd.toPrecision(2) : two.format(usd)}` : "free");

/** A <time> that says how long ago, with the moment itself on hover. */
export function ago(stamp) {
  const node = document.createElement("time");
  const then = new Date(stamp);
  if (Number.isNaN(then.getTime())) {
    node.textContent = String(stamp ?? "");
    return node;
  }
  node.dateTime = stamp;
  node.title = then.toLocaleString();
  return retell(node);
}

/** Say again how long ago it was. */
export function retell(node) {
  const then = new Date(node.dateTime);
  if (Number.isNaN(then.getTime())) return node;
  const seconds = (Date.now() - then.getTime()) / 1000;
  const said = seconds < 10 ? "just now" : seconds > 172800 ? then.toLocaleDateString("en", { dateStyle: "medium" }) : `${duration(seconds)} ago`;
  if (node.textContent !== said) node.textContent = said;
  return node;
}
