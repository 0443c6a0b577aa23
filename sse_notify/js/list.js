/** @import { Item, Page, Update } from "../static/sse_notify/sse-notify.js" */
import { fillItem } from "./item.js";
import { copy, part, words, write } from "./parts.js";

/** Items that a list keeps; older ones are on the list page. */
const AT_MOST = 200;

/** What a mark does to an item. @type {Record<string, {unread?: boolean, unseen?: boolean}>} */
const EFFECTS = { read: { unread: false, unseen: false }, unread: { unread: true }, seen: { unseen: false } };

/** The items of a panel: the newest on top, each once. What changes shows with the next `flush()`, one for a whole frame. */
export class ItemList {
  /** What has arrived and is not shown, the newest last. @type {Item[]} */
  held = [];
  /** Only these are shown. @type {{state?: "unread", category?: string}} */
  filter = {};
  /** What an older page begins before; `null`: there is none. @type {number | null} */
  next = null;
  /** Whether a page is on its way. */
  loading = false;
  /** Which page did not come, so that only the user tries again: "first", "more" or "". */
  failed = "";

  /**
   * @param {HTMLElement} root The widget.
   * @param {{external: boolean, token: string}} options
   * @param {() => void} onEnd Called when the last item comes into sight.
   */
  constructor(root, options, onEnd) {
    this.root = root;
    this.options = options;
    this.list = part(root, "list");
    this.next = Number(root.dataset.next) || null;
    this.end = new IntersectionObserver(([last]) => last?.isIntersecting && onEnd(), { root: this.list });
  }

  /** @returns {HTMLElement[]} */
  get items() {
    return /** @type {HTMLElement[]} */ ([...(this.list?.children ?? [])]);
  }

  /** @param {number | string} id @returns {HTMLElement | null | undefined} */
  find(id) {
    return this.list?.querySelector(`[data-ssen-item="${Number(id)}"]`);
  }

  /** @param {Item} item */
  add(item) {
    this.held = [...this.held.filter(({ id }) => id !== item.id), item].slice(-AT_MOST);
  }

  /**
   * Show what was added, each item in the place of its former self or on top. A list that somebody reads further down, or walks
   * through by keyboard, does not jump: there a button says how many wait.
   *
   * @param {boolean} [force] Whether all is to be shown, at the top.
   */
  flush(force = false) {
    const { list, filter } = this;
    if (!list) return;
    const busy = !force && (list.scrollTop > 8 || list.contains(document.activeElement));
    const held = this.held;
    this.held = [];
    for (const item of held) {
      const known = this.find(item.id);
      const fits = (!filter.state || item.unread) && (!filter.category || item.category === filter.category);
      if (!fits) this.remove(item.id);
      else if (busy && !known) this.held.push(item);
      else {
        const element = this.#fill(item, known);
        if (!element || (known && (busy || list.firstElementChild === element))) continue;
        list.prepend(element);
        element.classList.add("ssen-fresh");
      }
    }
    if (force) list.scrollTop = 0;

    const { items } = this;
    for (const item of items.splice(AT_MOST)) {
      item.remove();
      this.next = Number(items.at(-1)?.dataset.ssenItem);
    }
    const { root, loading, next } = this;
    const count = this.held.length;
    write(root, "new", count && words(root, "new", "label", { count }));
    part(root, "empty")?.toggleAttribute("hidden", items.length > 0 || loading);
    list.ariaBusy = String(loading);
    const hasMore = next !== null && items.length < AT_MOST;
    const state = loading ? "loading" : this.failed ? "retry" : hasMore && "label";
    write(root, "older", state && words(root, "older", state));
    this.end.disconnect();
    const last = items.at(-1);
    if (hasMore && last && state === "label") this.end.observe(last);
  }

  /**
   * Take over a page of items as the server has it: the truth, for as far down as it reaches.
   *
   * @param {Page} page
   * @param {number} since The cursor when it was asked for: what has a higher number came later, and stays.
   * @param {boolean} isMore Whether it is an older page, for the end.
   */
  take({ items, next }, since, isMore) {
    const { list } = this;
    const isLater = (/** @type {unknown} */ seq) => Number(seq) > since;
    if (isMore) {
      for (const item of items) {
        const element = this.find(item.id) ?? this.#fill(item);
        if (element && !element.parentNode) list?.append(element);
      }
      this.next = next;
      return;
    }
    const ids = new Set(items.map(({ id }) => id));
    this.held = this.held.filter(({ seq }) => isLater(seq));
    for (const { dataset } of this.items) {
      const id = Number(dataset.ssenItem);
      if (!ids.has(id) && id >= (next ?? 0) && !isLater(dataset.seq)) this.remove(id);
    }
    let before = /** @type {HTMLElement | null} */ (list?.firstElementChild ?? null);
    for (const item of items) {
      while (before && isLater(before.dataset.seq)) before = /** @type {HTMLElement | null} */ (before.nextElementSibling);
      const known = this.find(item.id);
      if (isLater(known?.dataset.seq)) continue;
      const element = this.#fill(item, known);
      if (!element) return;
      if (element === before) before = /** @type {HTMLElement | null} */ (before.nextElementSibling);
      else list?.insertBefore(element, before);
    }
    // What is loaded below the page stays, and so does its end.
    if (next === null || !(Number(this.items.at(-1)?.dataset.ssenItem) < next)) this.next = next;
  }

  /** @param {number | string} id */
  remove(id) {
    this.held = this.held.filter((item) => item.id !== Number(id));
    const element = this.find(id);
    if (!element) return;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const focused = element.contains(document.activeElement);
    element.remove();
    if (focused) /** @type {HTMLElement | null} */ (next?.querySelector("a, button") ?? part(this.root, "heading"))?.focus();
  }

  /** @param {Pick<Update, "set"> & Partial<Update>} change */
  mark({ ids, up_to: upTo, set }) {
    const isMeant = (/** @type {unknown} */ id, /** @type {unknown} */ seq) =>
      ids ? ids.includes(Number(id)) : Number(seq) <= Number(upTo);
    const effect = EFFECTS[set] ?? {};
    for (const item of this.held) if (isMeant(item.id, item.seq ?? NaN)) Object.assign(item, effect);
    for (const { id, seq } of this.held) if (set === "archived" && isMeant(id, seq ?? NaN)) this.remove(id);
    for (const element of this.items) {
      const { ssenItem = "", seq } = element.dataset;
      if (!isMeant(ssenItem, seq)) continue;
      if (set === "archived") this.remove(ssenItem);
      for (const [name, on] of Object.entries(effect)) element.toggleAttribute(`data-${name}`, on);
    }
  }

  clear() {
    this.held = [];
    this.next = null;
    this.list?.replaceChildren();
  }

  /**
   * @param {Item} item
   * @param {HTMLElement | null} [known]
   */
  #fill(item, known) {
    const element = known ?? copy(this.root, "item");
    if (element) fillItem(element, item, this.options);
    return element;
  }
}
