import { part, words, write } from "./parts.js";

const MOST_SHOWN = 99;

/** What was put before the page's title. */
let prefix = "";

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
  for (const place of document.querySelectorAll("[data-ssen-unread-count]")) place.textContent = String(unread);
  if ("titleBadge" in root.dataset) showTitle(shown && `(${shown}) `);
}

/** @param {string | number} text What stands before the page's own title, which the page may change meanwhile. */
export function showTitle(text) {
  const { title } = document;
  const full = (text || "") + (title.startsWith(prefix) ? title.slice(prefix.length) : title);
  if (full !== title) document.title = full; // a change, even to the same, is a change to those who watch
  prefix = String(text || "");
}
