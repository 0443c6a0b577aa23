/** The parts of the server's markup, which the script finds by `data-ssen` and by nothing else. */

/**
 * @param {ParentNode} root
 * @param {string} name The value of `data-ssen`.
 * @returns {HTMLElement | null}
 */
export function part(root, name) {
  return root.querySelector(`[data-ssen="${name}"]`);
}

/**
 * Write text into a part; one that has nothing to say is hidden.
 *
 * @param {ParentNode} root
 * @param {string} name
 * @param {unknown} text
 */
export function write(root, name, text) {
  const place = part(root, name);
  if (!place) return;
  place.textContent = /** @type {string} */ (text) || "";
  place.hidden = !text;
}

/**
 * Return a sentence that a part has in a data attribute, so that the server can translate it, with its places filled; "" if it has none.
 *
 * @param {ParentNode} root
 * @param {string} name The part's.
 * @param {string} key The attribute's.
 * @param {Record<string, any>} [values]
 */
export function words(root, name, key, values) {
  return part(root, name)?.dataset[key]?.replace(/{(\w+)}/g, (_, place) => values?.[place]) ?? "";
}

/**
 * Return a copy of what a template holds.
 *
 * @param {ParentNode} root
 * @param {string} name
 */
export function copy(root, name) {
  const template = /** @type {HTMLTemplateElement | null} */ (part(root, name));
  return /** @type {HTMLElement | undefined} */ (
    template?.content.firstElementChild?.cloneNode(true)
  );
}

export const isHidden = () => document.visibilityState === "hidden";

/** Where the focus goes when what had it is gone. @param {ParentNode} root */
export const focusHeading = (root) => part(root, "heading")?.focus();

/**
 * @param {ParentNode} root
 * @param {string} name The data attribute that holds the text; "": nothing to say.
 */
export const showStatus = (root, name) => write(root, "status", words(root, "status", name));
