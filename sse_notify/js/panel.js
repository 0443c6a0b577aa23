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
    for (const { name, value } of bell.attributes)
      if (name !== "href") button.setAttribute(name, value);
    button.type = "button";
    button.append(...bell.childNodes);
    bell.replaceWith(button);
    bell = button;
  }
  const button = /** @type {HTMLButtonElement} */ (bell);
  const isOpen = () => panel.matches(":popover-open");

  /** Below the bell, at its end; the stylesheet moves it where that is too narrow. */
  const place = () => {
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const below = innerHeight - bottom;
    // Above the bell if the page has it at the bottom.
    const up = below < 240 && top > below;
    const places = {
      end:
        getComputedStyle(button).direction === "rtl"
          ? left
          : document.documentElement.clientWidth - right,
      top: up ? 0 : bottom + EDGE,
      bottom: up ? innerHeight - top + EDGE : 0,
      room: (up ? top : below) - 2 * EDGE,
    };
    for (const [name, size] of Object.entries(places))
      panel.style.setProperty(`--ssen-${name}`, size ? `${size}px` : "");
  };

  // Not `popovertarget` alone: it sets no aria-expanded attribute, and the place is to be known before the panel shows.
  button.ariaExpanded = "false";
  button.popoverTargetElement = panel;
  panel.addEventListener("beforetoggle", place, { signal });
  const toggled = () => {
    button.ariaExpanded = `${isOpen()}`;
    onToggle(isOpen());
  };
  panel.addEventListener("toggle", toggled, { signal });
  const moved = () => isOpen() && place();
  addEventListener("resize", moved, { signal });
  addEventListener("scroll", moved, { signal, capture: true });

  /** @param {boolean} open */
  const toggle = (open) => panel.togglePopover(open);
  return { isOpen, toggle };
}
