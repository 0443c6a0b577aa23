import { COUNT_MAX } from "./limits.js";
import { part, words, write } from "./parts.js";

/** Return a count as short text. @param {number} count */
export const shortCount = (count) => (count > COUNT_MAX ? `${COUNT_MAX}+` : `${count}`);

/**
 * Return the number that a widget's badge counts.
 *
 * @param {HTMLElement} root The widget.
 * @param {{unread: number, unseen: number}} counts
 */
export const badgeCount = ({ dataset }, counts) =>
  dataset.badge === "unseen" ? counts.unseen : counts.unread;

/**
 * Show the counts wherever the page has a place for them.
 *
 * @param {HTMLElement} root The widget.
 * @param {{unread: number, unseen: number}} counts
 */
export function showCounts(root, counts) {
  const { unread } = counts;
  const count = badgeCount(root, counts);
  write(root, "badge", count && shortCount(count));
  part(root, "bell")?.setAttribute("aria-label", words(root, "bell", "label", { count }));
  part(root, "all")?.toggleAttribute("hidden", !unread);
  for (const place of document.querySelectorAll("[data-ssen-unread-count]"))
    place.textContent = /** @type {any} */ (unread);
}
