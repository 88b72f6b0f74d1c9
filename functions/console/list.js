// A list that follows the server while it is looked at: the first page is asked for again and again, older pages once.

import { get } from "./api.js";
import { alarm, el, keyed } from "./dom.js";
import { retell } from "./words.js";

const BUSY_MS = 1500; // while something is unfinished
const IDLE_MS = 5000;

export class LiveList {
  /** path: of the API. id, unfinished: of an item. render: item -> element. empty: element. onItems: called with all items. */
  constructor({ path, id = (item) => item.id, unfinished = () => false, render, empty, onItems = () => {} }) {
    Object.assign(this, { path, id, unfinished, render, onItems });
    this.items = new Map();
    this.older = undefined; // cursor of the next older page; null at the end
    this.list = el("ul.cards");
    this.trouble = el("div");
    this.empty = el("div.empty", { hidden: true }, empty);
    this.waiting = el("p.muted", "Loading…");
    this.more = el("button.quiet", { type: "button", hidden: true, onclick: () => this.loadOlder() }, "Show older");
    this.root = el("div", this.trouble, this.waiting, this.list, this.empty, el("div.row.center", this.more));
    document.addEventListener("visibilitychange", () => { if (this.shown && !document.hidden) this.refresh(); });
  }

  show() {
    this.shown = true;
    return this.refresh();
  }

  hide() {
    this.shown = false;
    clearTimeout(this.timer);
  }

  async refresh() {
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    let wait = IDLE_MS;
    try {
      const page = await get(this.path);
      if (turn !== this.turn) return; // a later question is on its way
      if (this.older === undefined) this.older = page.next;
      for (const item of page.items) this.items.set(this.id(item), item);
      this.trouble.replaceChildren();
      this.draw();
      if ([...this.items.values()].some(this.unfinished)) wait = BUSY_MS;
    } catch (problem) {
      if (turn !== this.turn) return;
      this.tell(problem);
    }
    this.waiting.hidden = true;
    clearTimeout(this.timer);
    if (this.shown && !document.hidden) this.timer = setTimeout(() => this.refresh(), wait);
  }

  async loadOlder() {
    try {
      const page = await get(this.path, { cursor: this.older });
      for (const item of page.items) if (!this.items.has(this.id(item))) this.items.set(this.id(item), item);
      this.older = page.next;
      this.draw();
    } catch (problem) {
      this.tell(problem);
    }
  }

  /** Take an item that an action answered with, before the next refresh. */
  put(item) {
    this.items.set(this.id(item), item);
    this.draw();
  }

  draw() {
    const newestFirst = (a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : 0);
    const items = [...this.items.values()].sort(newestFirst);
    keyed(this.list, items, this.id, this.render);
    for (const time of this.list.querySelectorAll("time")) retell(time);
    this.empty.hidden = items.length > 0;
    this.more.hidden = !this.older;
    this.onItems(items);
  }

  tell(problem) {
    if (this.trouble.textContent !== problem.message) this.trouble.replaceChildren(alarm(problem.message));
  }
}
