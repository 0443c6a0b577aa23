import { part, words, write } from "./parts.js";

const MOST_SHOWN = 99;

/**
 * Show a number wherever the page has a place for it.
 *
 * @param {HTMLElement} root The widget.
 * @param {{unread: number, unseen: number}} counts
 */
export function showCounts(root, counts) {
  const { unread, unseen } = counts;
  const count = root.dataset.badge === "unseen" ? unseen : unread;
  const shown = count > MOST_SHOWN ? `${MOST_SHOWN}+` : count;
  write(root, "badge", shown);
  part(root, "bell")?.setAttribute("aria-label", words(root, "bell", "label", { count }));
  part(root, "all")?.toggleAttribute("hidden", !unread);
  for (const place of document.querySelectorAll("[data-ssen-unread-count]"))
    place.textContent = `${unread}`;
}
