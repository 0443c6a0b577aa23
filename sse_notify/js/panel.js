import { EDGE, ROOM } from "./limits.js";
import { part } from "./parts.js";

/**
 * The panel that the bell opens: a popover, so Escape and a click elsewhere close it. The bell, a
 * link to the list page, becomes its button. In a browser without popovers it stays a link, and the
 * panel goes: a browser that old may not read the stylesheet that hides it.
 *
 * @param {HTMLElement} root The widget.
 * @param {(open: boolean) => void} onToggle Called whenever the panel has opened or closed.
 * @param {AbortSignal} signal
 */
export function makePanel(root, onToggle, signal) {
  const panel = part(root, "panel");
  let bell = /** @type {HTMLButtonElement} */ (part(root, "bell"));
  if (!panel?.showPopover) return panel?.remove();
  if (!bell) return; // a project's template may have none
  if (bell.matches("a")) {
    const button = document.createElement("button");
    for (const { name, value } of bell.attributes)
      if (name !== "href") button.setAttribute(name, value);
    button.type = "button";
    button.append(...bell.childNodes);
    bell.replaceWith(button);
    bell = button;
  }
  const isOpen = () => panel.matches(":popover-open");

  /**
   * Set a custom property of the stylesheet.
   *
   * @param {string} name
   * @param {number} size In pixels; 0 removes it.
   */
  const set = (name, size) => panel.style.setProperty(`--ssen-${name}`, size ? `${size}px` : "");

  /** Place the panel below the end of the bell. In a narrow window the stylesheet moves it. */
  const place = () => {
    const { left, right, top, bottom } = bell.getBoundingClientRect();
    const below = innerHeight - bottom;
    // The panel opens above a bell that is at the bottom of the page.
    const up = below < ROOM && top > below;
    const isRtl = getComputedStyle(bell).direction === "rtl";
    set("end", isRtl ? left : document.documentElement.clientWidth - right);
    set("top", up ? 0 : bottom + EDGE);
    set("bottom", up ? innerHeight - top + EDGE : 0);
    set("room", (up ? top : below) - 2 * EDGE);
  };

  // `popovertarget` alone sets no aria-expanded, and does not place the panel before it shows.
  bell.ariaExpanded = "false";
  bell.popoverTargetElement = panel;
  panel.addEventListener("beforetoggle", place, { signal });
  panel.addEventListener(
    "toggle",
    () => {
      const open = isOpen();
      bell.ariaExpanded = /** @type {any} */ (open);
      onToggle(open);
    },
    { signal },
  );
  const moved = () => isOpen() && place();
  for (const type of ["resize", "scroll"]) addEventListener(type, moved, { signal, capture: true });

  /** @param {boolean} open */
  const toggle = (open) => panel.togglePopover(open);
  return { isOpen, toggle };
}
