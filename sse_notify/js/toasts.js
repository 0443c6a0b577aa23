/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { fillTitle } from "./item.js";
import { copy, isHidden, part, write } from "./parts.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const STAYS = 8_000;
const AT_MOST = 3;

/** Short notes at the page's corner. They are in the list as well, so nothing is lost when they go. */
export class Toasts {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} root The widget. */
  constructor(root) {
    this.root = root;
    this.region = part(root, "toasts");
    for (const type of ["pointerenter", "pointerleave", "focusin", "focusout"]) {
      this.region?.addEventListener(type, () => this.#wait());
    }
    this.region?.addEventListener("keydown", (event) => event.key === "Escape" && this.clear());
  }

  /** @returns {HTMLElement[]} */
  get shown() {
    return /** @type {HTMLElement[]} */ ([...(this.region?.children ?? [])]);
  }

  /**
   * @param {Item} item
   * @param {boolean} external
   */
  show(item, external) {
    const { region } = this;
    const toast = copy(this.root, "toast");
    if (!toast || !region) return;
    this.dismiss(item.id); // a repeat takes its place
    toast.dataset.ssenToast = String(item.id);
    toast.dataset.level = item.level;
    if (item.expires_at) toast.dataset.expires = item.expires_at;
    fillTitle(toast, item.title, safeUrl(item.url, document.baseURI, external));
    write(toast, "body", item.body);
    region.append(toast);
    // On top of the page, and free of ancestors that would move it; a template without the attribute does without.
    if (region.popover) region.togglePopover(true);
    for (const old of this.shown.slice(0, -AT_MOST)) this.#remove(old);
    this.#wait();
  }

  /** @param {number} id The item's. */
  dismiss(id) {
    for (const toast of this.shown) if (toast.dataset.ssenToast === String(id)) this.#remove(toast);
  }

  clear() {
    clearTimeout(this.#timer);
    for (const toast of this.shown) this.#remove(toast);
  }

  /** @param {HTMLElement} toast */
  #remove(toast) {
    const { region, root } = this;
    const focused = toast.contains(document.activeElement);
    toast.remove();
    const [next] = this.shown;
    if (!next && region?.popover && region.isConnected) region.hidePopover();
    // Whoever dismissed it by keyboard goes on from the next, or from the bell.
    if (focused) part(next ?? root, next ? "dismiss" : "bell")?.focus();
  }

  /** They go together, some time after the last came: not while somebody reads them, and not from a page that nobody sees. */
  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (isHidden() || this.region?.matches(":hover, :focus-within")) this.#wait();
      else this.clear();
    }, STAYS);
  }
}
