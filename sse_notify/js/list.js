/** @import { Item, Page, Update } from "../static/sse_notify/sse-notify.js" */
import { fillItem, part } from "./item.js";

/** Items that a list keeps; older ones are on the list page. */
const AT_MOST = 100;

/** The items of a panel: the newest on top, each once. */
export class ItemList {
  /** @type {Item[]} */
  #held = [];

  /**
   * @param {HTMLElement} root The widget.
   * @param {{external: boolean, token: string}} options
   */
  constructor(root, options) {
    this.options = options;
    this.list = part(root, "list");
    this.empty = part(root, "empty");
    this.more = part(root, "new");
    this.template = /** @type {HTMLTemplateElement | null} */ (part(root, "item"));
  }

  /** @returns {HTMLElement[]} */
  get items() {
    return /** @type {HTMLElement[]} */ ([...(this.list?.children ?? [])]).filter((item) => item.dataset.ssenItem);
  }

  /** @param {number | string} id */
  find(id) {
    return this.items.find((item) => item.dataset.ssenItem === String(id));
  }

  /**
   * Put an item on top, in the place of its former self. A list that somebody reads further down, or walks through by keyboard,
   * does not jump: there a button says how many wait.
   *
   * @param {Item} item
   */
  add(item) {
    const { list } = this;
    const busy = list && (list.scrollTop > 8 || list.contains(document.activeElement));
    if (busy && !this.find(item.id)) {
      this.#held = [...this.#held.filter(({ id }) => id !== item.id), item];
      this.#tellHeld();
    } else this.#put(item, !busy);
  }

  /** Show what waits, and go to the top. */
  release() {
    const held = this.#held;
    this.#held = [];
    this.#tellHeld();
    for (const item of held) this.#put(item, true);
    if (this.list) this.list.scrollTop = 0;
  }

  /**
   * Take over a page of items as the server has it: the truth, for as far down as it reaches.
   *
   * @param {Page} page
   */
  replace({ items, next }) {
    this.#held = [];
    this.#tellHeld();
    const ids = new Set(items.map(({ id }) => String(id)));
    const oldest = next === null ? -1 : Math.min(...items.map(({ id }) => id));
    for (const element of this.items) {
      const id = String(element.dataset.ssenItem);
      if (!ids.has(id) && Number(id) >= oldest) this.remove(id);
    }
    let before = /** @type {Element | null} */ (this.list?.firstElementChild ?? null);
    for (const item of items) {
      const element = this.find(item.id) ?? this.#make();
      if (!element) return;
      fillItem(element, item, this.options);
      if (element === before) before = element.nextElementSibling;
      else this.list?.insertBefore(element, before);
    }
    this.#tidy();
  }

  /** @param {number | string} id */
  remove(id) {
    this.#held = this.#held.filter((item) => String(item.id) !== String(id));
    this.#tellHeld();
    const element = this.find(id);
    if (!element) return;
    if (element.contains(document.activeElement)) {
      const next = element.nextElementSibling ?? element.previousElementSibling;
      const goal = next?.querySelector("a, button") ?? element.closest(".ssen-panel")?.querySelector(".ssen-heading");
      element.remove();
      if (goal instanceof HTMLElement) goal.focus();
    } else element.remove();
    this.#tidy();
  }

  /**
   * @param {Pick<Update, "set"> & Partial<Update>} change
   */
  mark({ ids, up_to: upTo, set }) {
    const chosen = new Set(ids?.map(String));
    const isMeant = (/** @type {string} */ id, /** @type {unknown} */ seq) =>
      ids ? chosen.has(id) : seq !== undefined && Number(seq) <= Number(upTo);
    for (const item of this.#held) {
      if (!isMeant(String(item.id), item.seq)) continue;
      if (set === "read") item.unread = item.unseen = false;
      else if (set === "unread") item.unread = true;
      else if (set === "seen") item.unseen = false;
      else this.remove(item.id);
    }
    for (const element of this.items) {
      if (!isMeant(String(element.dataset.ssenItem), element.dataset.seq)) continue;
      if (set === "archived") this.remove(String(element.dataset.ssenItem));
      else if (set === "seen") element.removeAttribute("data-unseen");
      else {
        element.toggleAttribute("data-unread", set === "unread");
        if (set === "read") element.removeAttribute("data-unseen");
      }
    }
  }

  /** @returns {number} How many were past their time and are gone. */
  expire() {
    const expired = this.items.filter((item) => Date.parse(item.dataset.expires ?? "") <= Date.now());
    for (const item of expired) this.remove(String(item.dataset.ssenItem));
    return expired.length;
  }

  clear() {
    this.#held = [];
    this.#tellHeld();
    this.list?.replaceChildren();
    this.#tidy();
  }

  /**
   * @param {Item} item
   * @param {boolean} onTop
   */
  #put(item, onTop) {
    const known = this.find(item.id);
    const element = known ?? this.#make();
    if (!element) return;
    fillItem(element, item, this.options);
    if (!known || (onTop && this.list?.firstElementChild !== element)) {
      this.list?.prepend(element);
      element.classList.add("ssen-fresh");
    }
    this.#tidy();
  }

  #make() {
    const element = this.template?.content.firstElementChild?.cloneNode(true);
    return element instanceof HTMLElement ? element : undefined;
  }

  #tidy() {
    for (const item of this.items.slice(AT_MOST)) item.remove();
    this.empty?.toggleAttribute("hidden", this.items.length > 0);
  }

  #tellHeld() {
    if (!this.more) return;
    this.more.hidden = this.#held.length === 0;
    this.more.textContent = (this.more.dataset.label ?? "{count}").replace("{count}", String(this.#held.length));
  }
}
