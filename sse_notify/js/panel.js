const EDGE = 8; // pixels

/**
 * The panel that the bell opens: a popover where the browser has it, which brings the way out by Escape and by a click elsewhere.
 *
 * Calls `onToggle(open)` after each change, however it came about.
 */
export class Panel {
  #ended = new AbortController();
  #open = false;

  /**
   * @param {HTMLElement} panel
   * @param {HTMLElement} bell
   * @param {(open: boolean) => void} onToggle
   */
  constructor(panel, bell, onToggle) {
    this.panel = panel;
    this.bell = bell;
    this.onToggle = onToggle;
    const { signal } = this.#ended;
    bell.setAttribute("aria-expanded", "false");
    bell.setAttribute("aria-controls", panel.id);
    if ("showPopover" in panel) {
      // Not `popovertarget` alone: it sets no aria-expanded attribute, and the place is to be known before the panel shows.
      /** @type {HTMLButtonElement} */ (bell).popoverTargetElement = panel;
      panel.addEventListener("beforetoggle", (event) => event.newState === "open" && this.#place(), { signal });
      panel.addEventListener("toggle", (event) => this.#toggled(event.newState === "open"), { signal });
    } else {
      bell.addEventListener("click", () => this.toggle(!this.#open), { signal });
      document.addEventListener("pointerdown", (event) => this.#leave(event), { signal });
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.#open && this.toggle(false), { signal });
    }
    addEventListener("resize", () => this.#place(), { signal });
    addEventListener("scroll", () => this.#open && this.#place(), { signal, passive: true, capture: true });
  }

  get isOpen() {
    return this.#open;
  }

  /** @param {boolean} open */
  toggle(open) {
    if (open === this.#open) return;
    if ("showPopover" in this.panel) {
      if (open) this.panel.showPopover();
      else this.panel.hidePopover();
    } else {
      this.#place();
      this.#toggled(open);
      if (!open) this.bell.focus();
    }
  }

  stop() {
    this.toggle(false);
    this.#ended.abort();
  }

  /** @param {boolean} open */
  #toggled(open) {
    this.#open = open;
    this.panel.classList.toggle("ssen-open", open);
    this.bell.setAttribute("aria-expanded", String(open));
    this.onToggle(open);
  }

  /** @param {Event} event */
  #leave(event) {
    const target = /** @type {Node} */ (event.target);
    if (this.#open && !this.panel.contains(target) && !this.bell.contains(target)) this.toggle(false);
  }

  /** Below the bell, at its end, or at its start where that is too narrow. The stylesheet takes the whole width on small screens. */
  #place() {
    const { bell, panel } = this;
    const box = bell.getBoundingClientRect();
    const width = Math.min(420, innerWidth - 2 * EDGE);
    const isRtl = getComputedStyle(bell).direction === "rtl";
    const wanted = isRtl ? box.left : box.right - width;
    const left = Math.max(EDGE, Math.min(wanted, innerWidth - width - EDGE));
    const below = innerHeight - box.bottom;
    // Above the bell if the page has it at the bottom.
    const up = below < 240 && box.top > below;
    const places = {
      left,
      width,
      top: up ? NaN : box.bottom + EDGE,
      bottom: up ? innerHeight - box.top + EDGE : NaN,
      room: (up ? box.top : below) - 2 * EDGE,
    };
    for (const [name, size] of Object.entries(places)) panel.style.setProperty(`--ssen-${name}`, size ? `${size}px` : "auto");
  }
}
