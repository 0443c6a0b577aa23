/** @import { Item, Page, Update } from "../static/sse_notify/sse-notify.js" */
import { fillItem } from "./item.js";
import { copy, focusHeading, part, words, write } from "./parts.js";

/** Items that a list keeps; older ones are on the list page. */
const AT_MOST = 200;

/** What a mark does to an item. @type {Record<string, {unread?: boolean, unseen?: boolean}>} */
const EFFECTS = { read: { unread: false, unseen: false }, unread: { unread: true }, seen: { unseen: false } };

/**
 * The items of a panel: the newest on top, each once. What changes shows with the next `flush()`, one for a whole frame.
 *
 * @param {HTMLElement} root The widget.
 * @param {{external: boolean, token: string}} options
 * @param {() => void} onEnd Called when the last item comes into sight.
 */
export function makeList(root, options, onEnd) {
  const list = part(root, "list");
  const end = new IntersectionObserver(([last]) => last?.isIntersecting && onEnd(), { root: list });
  /** What has arrived and is not shown, the newest last. @type {Item[]} */
  let held = [];

  const items = () => /** @type {HTMLElement[]} */ ([...(list?.children ?? [])]);

  /** @param {number} id @returns {HTMLElement | null | undefined} */
  const find = (id) => list?.querySelector(`[data-ssen-item="${id}"]`);

  /** @param {Element | undefined} element */
  const idOf = (element) => Number(/** @type {HTMLElement | undefined} */ (element)?.dataset.ssenItem);

  /**
   * @param {Item} item
   * @param {HTMLElement | null} [known]
   */
  const fill = (item, known) => {
    const element = known ?? copy(root, "item") ?? document.createElement("li");
    fillItem(element, item, options);
    return element;
  };

  /** @param {number} id */
  const remove = (id) => {
    held = held.filter((item) => item.id !== id);
    const element = find(id);
    if (!element) return;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const focused = element.contains(document.activeElement);
    element.remove();
    const goal = /** @type {HTMLElement | null | undefined} */ (next?.querySelector("a, button"));
    if (focused && goal) goal.focus();
    else if (focused) focusHeading(root);
  };

  const self = {
    end,
    options,
    items,
    find,
    remove,
    held: () => held,
    /** Only these are shown. @type {{state?: "unread", category?: string}} */
    filter: {},
    /** What an older page begins before; `null`: there is none. @type {number | null} */
    next: Number(root.dataset.next) || null,
    /** Whether a page is on its way. */
    loading: false,
    /** Which page did not come, so that only the user tries again: "first", "more" or "". */
    failed: "",

    /** @param {Item} item */
    add(item) {
      held = [...held.filter(({ id }) => id !== item.id), item].slice(-AT_MOST);
    },

    /**
     * Show what was added, each item in the place of its former self or on top. A list that somebody reads further down, or walks
     * through by keyboard, does not jump: there a button says how many wait.
     *
     * @param {boolean} [force] Whether all is to be shown, at the top.
     */
    flush(force = false) {
      if (!list) return;
      const { state, category } = self.filter;
      const { loading } = self;
      const busy = !force && (list.scrollTop > 8 || list.contains(document.activeElement));
      const waiting = [];
      for (const item of held) {
        const known = find(item.id);
        const fits = (!state || item.unread) && (!category || item.category === category);
        if (!fits) remove(item.id);
        else if (busy && !known) waiting.push(item);
        else {
          const element = fill(item, known);
          if (known && (busy || list.firstElementChild === element)) continue;
          list.prepend(element);
          element.classList.add("ssen-fresh");
        }
      }
      held = waiting;
      if (force) list.scrollTop = 0;

      const shown = items();
      for (const item of shown.splice(AT_MOST)) {
        item.remove();
        self.next = idOf(shown.at(-1));
      }
      const count = held.length;
      write(root, "new", count && words(root, "new", "label", { count }));
      part(root, "empty")?.toggleAttribute("hidden", shown.length > 0 || loading);
      list.ariaBusy = `${loading}`;
      const hasMore = self.next !== null && shown.length < AT_MOST;
      const label = loading ? "loading" : self.failed ? "retry" : hasMore && "label";
      write(root, "older", label && words(root, "older", label));
      end.disconnect();
      const last = shown.at(-1);
      if (last && label === "label") end.observe(last);
    },

    /**
     * Take over a page of items as the server has it: the truth, for as far down as it reaches.
     *
     * @param {Page} page
     * @param {number} since The cursor when it was asked for: what has a higher number came later, and stays.
     * @param {boolean} isMore Whether it is an older page, for the end.
     */
    take({ items: page, next }, since, isMore) {
      const isLater = (/** @type {unknown} */ seq) => Number(seq) > since;
      if (isMore) {
        for (const item of page) if (!find(item.id)) list?.append(fill(item));
        self.next = next;
        return;
      }
      const ids = new Set(page.map(({ id }) => id));
      held = held.filter(({ seq }) => isLater(seq));
      for (const element of items()) {
        const id = idOf(element);
        if (!ids.has(id) && id >= (next ?? 0) && !isLater(element.dataset.seq)) remove(id);
      }
      let before = /** @type {any} */ (list?.firstElementChild ?? null);
      for (const item of page) {
        while (before && isLater(before.dataset.seq)) before = before.nextElementSibling;
        const known = find(item.id);
        if (isLater(known?.dataset.seq)) continue;
        const element = fill(item, known);
        if (element === before) before = before.nextElementSibling;
        else list?.insertBefore(element, before);
      }
      // What is loaded below the page stays, and so does its end.
      if (next === null || !(idOf(items().at(-1)) < next)) self.next = next;
    },

    /** @param {Pick<Update, "set"> & Partial<Update>} change */
    mark({ ids, up_to: upTo, set }) {
      const isMeant = (/** @type {number} */ id, /** @type {unknown} */ seq) =>
        ids ? ids.includes(id) : Number(seq ?? NaN) <= Number(upTo);
      const effect = EFFECTS[set] ?? {};
      for (const item of held) {
        if (!isMeant(item.id, item.seq)) continue;
        Object.assign(item, effect);
        if (set === "archived") remove(item.id);
      }
      for (const element of items()) {
        if (!isMeant(idOf(element), element.dataset.seq)) continue;
        if (set === "archived") remove(idOf(element));
        for (const [name, on] of Object.entries(effect)) element.toggleAttribute(`data-${name}`, on);
      }
    },

    clear() {
      held = [];
      self.next = null;
      list?.replaceChildren();
    },
  };
  return self;
}
