/** @import { Item, Update } from "../static/sse_notify/sse-notify.js" */
import { ITEMS_MAX } from "./limits.js";
import { focusHeading, part, words, write } from "./parts.js";

/** @typedef {ReturnType<typeof makeList>} List */
/** @typedef {Pick<Update, "set"> & Partial<Update>} Change */

/** What a mark does to an item. @type {Record<string, {unread?: boolean, unseen?: boolean}>} */
const EFFECTS = {
  read: { unread: false, unseen: false },
  unread: { unread: true },
  seen: { unseen: false },
};

/**
 * The items of a panel: the newest on top, each once. `draw()` shows all changes since the last
 * frame.
 *
 * @param {HTMLElement} root The widget.
 * @param {import("./item.js").ItemOptions} options
 * @param {() => void} onEnd Called when the last item comes into sight.
 */
export function makeList(root, options, onEnd) {
  // A project's template may have no list.
  const list = part(root, "list") ?? document.createElement("ul");
  const end = new IntersectionObserver(([last]) => last?.isIntersecting && onEnd(), { root: list });
  const items = () => /** @type {HTMLElement[]} */ ([...list.children]);

  /** @param {number} id @returns {HTMLElement | null} */
  const find = (id) => list.querySelector(`[data-ssen-item="${id}"]`);

  /** @param {Element | null | undefined} element */
  const idOf = (element) =>
    Number(/** @type {HTMLElement | null | undefined} */ (element)?.dataset.ssenItem);

  /**
   * Write one of its texts on a button, or hide it. If a button that goes has the focus, the
   * heading gets it.
   *
   * @param {string} name
   * @param {string | false | 0} key
   * @param {Record<string, any>} [values]
   */
  const label = (name, key, values) => {
    if (!key && part(root, name)?.matches(":focus")) focusHeading(root);
    write(root, name, words(root, name, /** @type {string} */ (key), values));
  };

  /** @param {number} id */
  const remove = (id) => {
    self.held = self.held.filter((item) => item.id !== id);
    const element = find(id);
    if (!element) return;
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const focused = element.contains(document.activeElement);
    element.remove();
    const goal = /** @type {HTMLElement | null | undefined} */ (
      next?.querySelector("a, button") ?? part(root, "heading")
    );
    if (focused) goal?.focus();
  };

  const self = {
    root,
    element: list,
    end,
    options,
    items,
    find,
    idOf,
    remove,
    /**
     * Puts items into the list, once it is loaded, and returns those that wait.
     *
     * @type {((list: any, items: Item[], force: boolean) => Item[]) | undefined}
     */
    placeItems: undefined,
    /** Items that have arrived and are not in the list yet, the newest last. @type {Item[]} */
    held: [],
    /** Which items are shown. @type {{state?: "unread", category?: string}} */
    filter: {},
    /**
     * The `before` of the page of older items, `null` if there are none.
     *
     * @type {number | string | null}
     */
    next: root.dataset.next || null,
    /** Whether a page is being loaded. */
    loading: false,
    /** Changes meanwhile: the page may be older. @type {Change[]} */
    changes: [],
    /**
     * What could not be loaded: the "first" page, "more", the "script" that makes items, or "". The
     * user tries again, and for the first page a new connection.
     */
    lacking: "",

    /** @param {Item} item */
    add(item) {
      self.held = [...self.held.filter(({ id }) => id !== item.id), item].slice(-ITEMS_MAX);
    },

    /**
     * Show the items that were added. While the user reads further down, or is in the list by
     * keyboard, nothing moves, and a button says how many items wait.
     *
     * @param {boolean} [force] Whether all items are shown, and the list scrolls to its top.
     */
    draw(force = false) {
      const { loading } = self;
      self.held = self.placeItems?.(self, self.held, force) ?? self.held;
      if (force) list.scrollTop = 0;

      const shown = items();
      for (const item of shown.splice(ITEMS_MAX)) {
        item.remove();
        self.next = shown.at(-1)?.dataset.seq || self.next;
      }
      const count = self.held.length;
      label("new", count && "label", { count });
      list.ariaBusy = /** @type {any} */ (loading);
      const hasMore = self.next !== null && shown.length < ITEMS_MAX;
      const key = loading ? "loading" : self.lacking ? "retry" : hasMore && "label";
      label("older", key);
      end.disconnect();
      const last = shown.at(-1);
      part(root, "empty")?.toggleAttribute("hidden", !!(last || key)); // more is there, or may be
      if (last && key === "label") end.observe(last);
    },

    /** @param {Change} change */
    change(change) {
      const { ids, up_to: upTo, set } = change;
      if (self.loading) self.changes.push(change);
      const isMeant = (/** @type {number} */ id, /** @type {any} */ seq) =>
        ids ? ids.includes(id) : seq <= Number(upTo);
      const effect = EFFECTS[set] ?? {};
      for (const item of self.held) {
        if (!isMeant(item.id, item.seq)) continue;
        Object.assign(item, effect);
        if (set === "archived") remove(item.id);
      }
      for (const element of items()) {
        if (!isMeant(idOf(element), element.dataset.seq)) continue;
        if (set === "archived") remove(idOf(element));
        for (const [name, on] of Object.entries(effect))
          element.toggleAttribute(`data-${name}`, on);
      }
    },

    clear() {
      self.held = [];
      self.next = null;
      list.replaceChildren();
    },
  };
  return self;
}
