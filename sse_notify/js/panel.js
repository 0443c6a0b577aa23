import { part } from "./parts.js";

const EDGE = 8; // pixels

/**
 * The panel that the bell opens: a popover, which brings the way out by Escape and by a click elsewhere. The bell, a link to the list
 * page, becomes its button. Where the browser has no popovers it stays a link.
 *
 * @param {HTMLElement} root The widget.
 * @param {(open: boolean) => void} onToggle Called after each change, however it came about.
 * @param {AbortSignal} signal
 */
export function makePanel(root, onToggle, signal) {
  const panel = part(root, "panel");
  let bell = part(root, "bell");
  if (!panel?.showPopover || !bell) return;
  if (bell.localName === "a") {
    const button = document.createElement("button");
    for (const { name, value } of bell.attributes) if (name !== "href") button.setAttribute(name, value);
    button.type = "button";
    button.append(...bell.childNodes);
    bell.replaceWith(button);
    bell = button;
  }
  const button = /** @type {HTMLButtonElement} */ (bell);
  const isOpen = () => panel.matches(":popover-open");

  /** Below the bell, at its end, or at its start where that is too narrow. The stylesheet takes the whole width on small screens. */
  const place = () => {
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const width = Math.min(420, innerWidth - 2 * EDGE);
    const wanted = getComputedStyle(button).direction === "rtl" ? left : right - width;
    const below = innerHeight - bottom;
    // Above the bell if the page has it at the bottom.
    const up = below < 240 && top > below;
    const places = {
      left: Math.max(EDGE, Math.min(wanted, innerWidth - width - EDGE)),
      width,
      top: up ? NaN : bottom + EDGE,
      bottom: up ? innerHeight - top + EDGE : NaN,
      room: (up ? top : below) - 2 * EDGE,
    };
    for (const [name, size] of Object.entries(places)) panel.style.setProperty(`--ssen-${name}`, size ? `${size}px` : "auto");
  };

  // Not `popovertarget` alone: it sets no aria-expanded attribute, and the place is to be known before the panel shows.
  button.ariaExpanded = "false";
  button.setAttribute("aria-controls", panel.id);
  button.popoverTargetElement = panel;
  panel.addEventListener("beforetoggle", place, { signal });
  const toggled = () => {
    button.ariaExpanded = String(isOpen());
    onToggle(isOpen());
  };
  panel.addEventListener("toggle", toggled, { signal });
  const moved = () => isOpen() && place();
  addEventListener("resize", moved, { signal });
  addEventListener("scroll", moved, { signal, passive: true, capture: true });

  /** @param {boolean} open */
  const toggle = (open) => panel.togglePopover(open);
  return { isOpen, toggle };
}
