import { EDGE, ROOM } from "./limits.js";
import { part } from "./parts.js";

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

  /** Tell the stylesheet a size. @param {string} name @param {number} size In pixels; 0 takes it back. */
  const set = (name, size) => panel.style.setProperty(`--ssen-${name}`, size ? `${size}px` : "");

  /** Place the panel below the bell, at its end. Where that is too narrow, the stylesheet moves it. */
  const place = () => {
    const { left, right, top, bottom } = button.getBoundingClientRect();
    const below = innerHeight - bottom;
    // Above the bell if the page has it at the bottom.
    const up = below < ROOM && top > below;
    const isRtl = getComputedStyle(button).direction === "rtl";
    set("end", isRtl ? left : document.documentElement.clientWidth - right);
    set("top", up ? 0 : bottom + EDGE);
    set("bottom", up ? innerHeight - top + EDGE : 0);
    set("room", (up ? top : below) - 2 * EDGE);
  };

  // Not `popovertarget` alone: it sets no aria-expanded attribute, and the place is to be known before the panel shows.
  button.ariaExpanded = "false";
  button.popoverTargetElement = panel;
  panel.addEventListener("beforetoggle", place, { signal });
  panel.addEventListener(
    "toggle",
    () => {
      const open = isOpen();
      button.ariaExpanded = `${open}`;
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
