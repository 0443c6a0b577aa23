/** The parts of the server's markup. The script finds them by `data-ssen` alone, never by class. */

/**
 * @param {ParentNode} root
 * @param {string} name The value of `data-ssen`.
 * @returns {HTMLElement | null}
 */
export function part(root, name) {
  return root.querySelector(`[data-ssen="${name}"]`);
}

/**
 * Write text into a part. A part without text is hidden.
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
 * Return a text that the server put, translated, into a data attribute of a part, with its
 * placeholders filled; "" if there is none.
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
 * Return a copy of a template's element.
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

/**
 * Focus the panel's heading, when the element that had the focus is gone.
 *
 * @param {ParentNode} root
 */
export const focusHeading = (root) => part(root, "heading")?.focus();
