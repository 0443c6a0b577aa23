/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { fillTitle, levelOf, part } from "./item.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const STAYS = 8_000;
const AT_MOST = 3;

/** Short notes at the page's corner. They are in the list as well, so nothing is lost when one goes. */
export class Toasts {
  /** @type {Map<HTMLElement, ReturnType<typeof setTimeout> | undefined>} */
  #shown = new Map();

  /**
   * @param {HTMLElement | null} region
   * @param {HTMLTemplateElement | null} template
   */
  constructor(region, template) {
    this.region = region;
    this.template = template;
    region?.addEventListener("pointerenter", () => this.#pause());
    region?.addEventListener("pointerleave", () => this.#resume());
    region?.addEventListener("focusin", () => this.#pause());
    region?.addEventListener("focusout", () => this.#resume());
    region?.addEventListener("keydown", (event) => event.key === "Escape" && this.clear());
  }

  /**
   * @param {Item} item
   * @param {{external: boolean}} options
   */
  show(item, { external }) {
    const toast = this.template?.content.firstElementChild?.cloneNode(true);
    if (!(toast instanceof HTMLElement) || !this.region) return;
    this.dismiss(item.id); // a repeat takes its place
    toast.dataset.ssenToast = String(item.id);
    toast.dataset.level = levelOf(item);
    fillTitle(toast, item.title, safeUrl(item.url, document.baseURI, external));
    const body = part(toast, "body");
    if (body) body.textContent = item.body;
    body?.toggleAttribute("hidden", !item.body);
    part(toast, "dismiss")?.addEventListener("click", () => this.#remove(toast));
    this.region.append(toast);
    // On top of the page, and free of ancestors that would move it; a template without the attribute does without.
    if (this.region.popover) this.region.togglePopover(true);
    this.#shown.set(toast, undefined);
    while (this.#shown.size > AT_MOST) this.#remove(/** @type {HTMLElement} */ (this.#shown.keys().next().value));
    this.#resume();
  }

  /** @param {number} id The item's. */
  dismiss(id) {
    for (const toast of this.#shown.keys()) if (toast.dataset.ssenToast === String(id)) this.#remove(toast);
  }

  clear() {
    for (const toast of this.#shown.keys()) this.#remove(toast);
  }

  /** @param {HTMLElement} toast */
  #remove(toast) {
    clearTimeout(this.#shown.get(toast));
    this.#shown.delete(toast);
    const focused = toast.contains(document.activeElement);
    toast.remove();
    const next = this.#shown.keys().next().value;
    if (!next && this.region?.popover && this.region.isConnected) this.region.hidePopover();
    // Whoever dismissed it by keyboard goes on from the next, or from the bell.
    if (focused) part(next ?? /** @type {HTMLElement} */ (this.region?.parentElement), next ? "dismiss" : "bell")?.focus();
  }

  #pause() {
    for (const [toast, timer] of this.#shown) {
      clearTimeout(timer);
      this.#shown.set(toast, undefined);
    }
  }

  #resume() {
    if (this.region?.matches(":hover, :focus-within")) return;
    for (const [toast, timer] of this.#shown) {
      if (timer === undefined)
        this.#shown.set(
          toast,
          setTimeout(() => this.#expire(toast), STAYS),
        );
    }
  }

  /** @param {HTMLElement} toast */
  #expire(toast) {
    // Nobody has seen what was shown in a hidden page: it stays until somebody looks.
    if (document.visibilityState === "hidden")
      this.#shown.set(
        toast,
        setTimeout(() => this.#expire(toast), STAYS),
      );
    else this.#remove(toast);
  }
}
