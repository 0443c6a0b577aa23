/** @import { Item } from "../static/sse_notify/sse-notify.js" */
/** @import { List } from "./list.js" */

import { fillHead } from "./item.js";
import { TOAST_STAYS, TOASTS } from "./limits.js";
import { copy, isHidden, part, write } from "./parts.js";

/**
 * Show what arrives at the corner of the window for a moment. The list has it as well, so nothing
 * is lost when a toast goes.
 *
 * @param {List} list The widget's.
 */
export function makeToasts({ root, options, find }) {
  const region = part(root, "toasts");
  const shown = () => /** @type {HTMLElement[]} */ ([...(region?.children ?? [])]);
  /** @type {any} */
  let timer;

  /**
   * Remove all toasts together after a while, but not while the user reads them or does not see the
   * page.
   */
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (isHidden() || region?.matches(":hover, :focus-within")) wait();
      else clear();
    }, TOAST_STAYS);
  };

  /** @param {HTMLElement} toast */
  const remove = (toast) => {
    const focused = toast.matches(":focus-within");
    toast.remove();
    const [next] = shown();
    if (!next && region?.popover) region.hidePopover();
    // A keyboard user who dismissed it goes on at the next one, or at the bell.
    if (focused) part(next ?? root, next ? "dismiss" : "bell")?.focus();
  };

  /**
   * @param {number} id The item's.
   * @param {number} [upTo] A `seq`: toasts of all items up to it go as well.
   */
  const dismiss = (id, upTo = 0) => {
    for (const toast of shown())
      if (Number(toast.dataset.ssenItem) === id || Number(toast.dataset.seq) <= upTo) remove(toast);
  };

  const clear = () => {
    clearTimeout(timer);
    shown().forEach(remove);
  };

  for (const type of ["pointerleave", "focusout"]) region?.addEventListener(type, wait);
  region?.addEventListener("keydown", (event) => event.key === "Escape" && clear());

  return {
    dismiss,
    clear,

    /**
     * Show the newest of some items, if the tag asks for toasts of their level.
     *
     * @param {Item[]} items
     */
    show(items) {
      const { toasts } = root.dataset;
      const wanted = items.filter(
        ({ level }) => toasts === "on" || (toasts === "urgent" && /warning|error/.test(level)),
      );
      for (const item of wanted.slice(-TOASTS)) {
        const toast = copy(root, "toast");
        if (!toast || !region) return;
        dismiss(item.id); // the new one takes the place of one for the same item
        fillHead(toast, item, options.link);
        // Long work that has ended may have no text but its outcome.
        const element = find(item.id);
        write(toast, "body", item.body || (element && part(element, "stage")?.textContent));
        region.append(toast);
        // A project's template may lack the attribute; its toasts are not above the whole page
        // then.
        if (region.popover) region.togglePopover(true);
        wait();
      }
      shown().slice(0, -TOASTS).forEach(remove);
    },
  };
}
