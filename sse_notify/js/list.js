/** @import { Item, Update } from "../static/sse_notify/sse-notify.js" */
import { focusHeading, part, words, write } from "./parts.js";

/** @typedef {ReturnType<typeof makeList>} List */

/** Items that a list keeps; older ones are on the list page. */
const AT_MOST = 200;

/** What a mark does to an item. @type {Record<string, {unread?: boolean, unseen?: boolean}>} */
const EFFECTS = {
  read: { unread: false, unseen: false },
  unread: { unread: true },
  seen: { unseen: false },
};

/**
 * The items of a panel: the newest on top, each once. What changes shows with the next `showHeld()`, one for a whole frame.
 *
 * @param {HTMLElement} root The widget.
 * @param {{external: boolean, token: string}} options
 * @param {() => void} onEnd Called when the last item comes into sight.
 */
export function makeList(root, options, onEnd) {
  const list = part(root, "list");
  const end = new IntersectionObserver(([last]) => last?.isIntersecting && onEnd(), { root: list });
  const items = () => /** @type {HTMLElement[]} */ ([...(list?.children ?? [])]);

  /** @param {number} id @returns {HTMLElement | null | undefined} */
  const find = (id) => list?.querySelector(`[data-ssen-item="${id}"]`);

  /** @param {Element | null | undefined} element */
  const idOf = (element) =>
    Number(/** @type {HTMLElement | null | undefined} */ (element)?.dataset.ssenItem);

  /**
   * Write on a button one of the texts that it has, or hide it: if it had the focus, the heading has it then.
   *
   * @param {string} name
   * @param {string | false | 0} key
   * @param {Record<string, any>} [values]
   */
  const label = (name, key, values) => {
    if (!key && part(root, name) === document.activeElement) focusHeading(root);
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
    element: /** @type {HTMLElement} */ (list), // whoever places items in it has some
    end,
    options,
    items,
    find,
    idOf,
    remove,
    /** What makes items and places them, once it is loaded. @type {import("./lazy.js").Arrivals | undefined} */
    placer: undefined,
    /** What has arrived and is not shown, the newest last. @type {Item[]} */
    held: [],
    /** Only these are shown. @type {{state?: "unread", category?: string}} */
    filter: {},
    /** What an older page begins before, a `seq` with more behind it at times; `null`: there is none. @type {number | string | null} */
    next: root.dataset.next || null,
    /** Whether a page is on its way. */
    isLoading: false,
    /** Which page did not come, so that only the user tries again, or a new connection: "first", "more" or "". */
    failed: "",

    /** @param {Item} item */
    add(item) {
      self.held = [...self.held.filter(({ id }) => id !== item.id), item].slice(-AT_MOST);
    },

    /**
     * Show what was added, each item in the place of its former self or on top. A list that somebody reads further down, or walks
     * through by keyboard, does not jump: there a button says how many wait.
     *
     * @param {boolean} [force] Whether all is to be shown, at the top.
     */
    showHeld(force = false) {
      if (!list) return;
      const { placer, isLoading } = self;
      if (placer) self.held = placer.place(self, self.held, force);
      if (force) list.scrollTop = 0;

      const shown = items();
      for (const item of shown.splice(AT_MOST)) {
        item.remove();
        self.next = shown.at(-1)?.dataset.seq || self.next;
      }
      const count = self.held.length;
      label("new", count && "label", { count });
      part(root, "empty")?.toggleAttribute("hidden", shown.length > 0 || isLoading);
      list.ariaBusy = `${isLoading}`;
      const hasMore = self.next !== null && shown.length < AT_MOST;
      const key = isLoading ? "loading" : self.failed ? "retry" : hasMore && "label";
      label("older", key);
      end.disconnect();
      const last = shown.at(-1);
      if (last && key === "label") end.observe(last);
    },

    /** @param {Pick<Update, "set"> & Partial<Update>} change */
    mark({ ids, up_to: upTo, set }) {
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
      list?.replaceChildren();
    },
  };
  return self;
}
