/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { fillTitle } from "./item.js";
import { copy, isHidden, part, write } from "./parts.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const STAYS = 8_000;
const AT_MOST = 3;

/**
 * Short notes at the page's corner. They are in the list as well, so nothing is lost when they go.
 *
 * @param {HTMLElement} root The widget.
 */
export function makeToasts(root) {
  const region = part(root, "toasts");
  const shown = () => /** @type {HTMLElement[]} */ ([...(region?.children ?? [])]);
  /** @type {any} */
  let timer;

  /** They go together, some time after the last came: not while somebody reads them, and not from a page that nobody sees. */
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (isHidden() || region?.matches(":hover, :focus-within")) wait();
      else clear();
    }, STAYS);
  };

  /** @param {HTMLElement} toast */
  const remove = (toast) => {
    const focused = toast.contains(document.activeElement);
    toast.remove();
    const [next] = shown();
    if (!next && region?.popover) region.hidePopover();
    // Whoever dismissed it by keyboard goes on from the next, or from the bell.
    if (focused) part(next ?? root, next ? "dismiss" : "bell")?.focus();
  };

  /** @param {number} id The item's. @param {number} [upTo] A `seq`: those of all up to there as well. */
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
     * @param {Item} item
     * @param {boolean} external
     */
    show(item, external) {
      const toast = copy(root, "toast");
      if (!toast || !region) return;
      dismiss(item.id); // a repeat takes its place
      Object.assign(toast.dataset, {
        ssenItem: item.id,
        seq: item.seq,
        level: item.level,
        expires: item.expires_at ?? "",
      });
      fillTitle(toast, item.title, safeUrl(item.url, document.baseURI, external));
      // How long work ended, if nobody has put it into words.
      const element = part(root, "list")?.querySelector(`[data-ssen-item="${item.id}"]`);
      write(toast, "body", item.body || (element && part(element, "stage")?.textContent));
      region.append(toast);
      // On top of the page, and free of ancestors that would move it; a template without the attribute does without.
      if (region.popover) region.togglePopover(true);
      shown().slice(0, -AT_MOST).forEach(remove);
      wait();
    },
  };
}
