/** Addresses: which of a notification may be followed, and how queries are added to ours. */

/**
 * Return where a notification may link to, as an absolute address; "" if it must not be a link.
 *
 * Only http and https (never `javascript:`, `data:`, `file:` ...), on the page's own origin unless `external`, and never with a user
 * name in it, which dresses up another site's address.
 *
 * @param {string | null | undefined} text What the notification says, relative or absolute.
 * @param {string} [base] The page's address.
 * @param {boolean} [external] Whether other sites are fine.
 */
export function safeUrl(text, base = globalThis.location?.href, external = false) {
  if (!text) return "";
  try {
    // Parsed as the browser will parse it, so that tabs, line ends, backslashes and case cannot hide anything.
    const url = new URL(text, base);
    if (!/^https?:$/.test(url.protocol) || url.username || url.password) return "";
    return external || url.origin === new URL(/** @type {string} */ (base)).origin ? url.href : "";
  } catch {
    return "";
  }
}

/**
 * Return the function that says where a notification may link to from a widget, "" if nowhere.
 *
 * @param {HTMLElement} widget
 */
export const linkOf = (widget) => (/** @type {string | null | undefined} */ text) =>
  safeUrl(text, document.baseURI, "external" in widget.dataset);

/**
 * Return `address` with the parameters added; empty ones (`null`, `undefined`, "") are left out, a list repeats its name.
 *
 * @param {string} address
 * @param {Record<string, unknown>} parameters
 */
export function withQuery(address, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) if ((one ?? "") !== "") query.append(name, String(one));
  }
  const added = query.toString();
  return added ? `${address}${address.includes("?") ? "&" : "?"}${added}` : address;
}
