/** Addresses: where notifications may link to, and queries. */

/**
 * Return the absolute address that a notification may link to, "" if it must not be a link.
 *
 * It must be http or https (never `javascript:`, `data:`, `file:` ...), on the page's own origin
 * unless `external`, and without a user name, which would make another site's address look like
 * this one's.
 *
 * @param {string | null | undefined} text The notification's address, relative or absolute.
 * @param {string} [base] The page's address.
 * @param {boolean} [external] Whether other sites are allowed.
 */
export function safeUrl(text, base = globalThis.location?.href, external = false) {
  if (!text) return "";
  try {
    // The browser parses it in the same way, so tabs, line ends, backslashes and case hide nothing.
    const url = new URL(text, base);
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) return "";
    return external || url.origin === new URL(/** @type {string} */ (base)).origin ? url.href : "";
  } catch {
    return "";
  }
}

/**
 * Return the function that returns where a widget's notification may link to, "" if nowhere.
 *
 * @param {HTMLElement} widget
 */
export const linkOf = (widget) => (/** @type {string | null | undefined} */ text) =>
  safeUrl(text, document.baseURI, "external" in widget.dataset);

/**
 * Return an address with parameters added. Empty ones (`null`, `undefined`, "") are left out; a
 * list repeats its name.
 *
 * @param {string} address
 * @param {Record<string, unknown>} parameters
 */
export function withQuery(address, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of /** @type {any[]} */ ([value].flat()))
      if ((one ?? "") !== "") query.append(name, one);
  }
  const added = `${query}`;
  return added ? `${address}${address.includes("?") ? "&" : "?"}${added}` : address;
}
