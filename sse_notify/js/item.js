/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { part, write } from "./parts.js";
import { fillProgress } from "./progress.js";

/**
 * @typedef {object} ItemOptions What an item needs to know of its widget.
 * @property {(url: string) => string} link Where it may link to, "" if nowhere.
 * @property {string} token The CSRF token of forms.
 * @property {typeof import("./times.js").language} language
 * @property {(seconds: number) => string} relativeTime
 */

/**
 * Fill a copy of the server's template for an item, or fill an item again. Text is set as text,
 * never as markup.
 *
 * @param {HTMLElement} element
 * @param {Item} item
 * @param {ItemOptions} options
 */
export function fillItem(element, item, options) {
  const { link, token } = options;
  const { title, body, category } = item;
  fillHead(element, item, link);
  element.dataset.category = category;
  element.toggleAttribute("data-unread", Boolean(item.unread));
  element.toggleAttribute("data-unseen", Boolean(item.unseen));
  write(element, "body", body);
  write(element, "count", item.count > 1 && !item.progress && `×${item.count}`);
  for (const name of element.querySelectorAll("[data-ssen=name]")) name.textContent = title;
  fillTime(element, item.created_at, options);
  fillImage(element, link(item.icon));
  fillProgress(element, title, item.progress, options);
  fillActions(element, item.actions, link, token);
}

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} properties
 */
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/**
 * Return the properties of a link, which does not tell other sites about this page.
 *
 * @param {string} href
 */
const linkTo = (href) => href && { href, rel: "noopener noreferrer" };

/**
 * Fill what an item and its toast have in common: the title, and data attributes for the script and
 * the stylesheet.
 *
 * @param {HTMLElement} element
 * @param {Item} item
 * @param {ItemOptions["link"]} link
 */
export function fillHead(element, item, link) {
  const { id: ssenItem, seq, level, title, url, expires_at: at } = item;
  const numbered = seq != null && { seq };
  Object.assign(element.dataset, { ssenItem, level, expires: at ?? "", ...numbered });
  const href = link(url);
  const old = part(element, "title");
  if (!old) return;
  const { className, dir } = old;
  const text = make(href ? "a" : "span", { className, dir, textContent: title, ...linkTo(href) });
  text.dataset.ssen = "title";
  const focused = old.matches(":focus-within");
  old.replaceWith(text);
  if (focused) text.focus();
}

/**
 * @param {HTMLElement} element
 * @param {string} created
 * @param {ItemOptions} options
 */
function fillTime(element, created, { language }) {
  const time = /** @type {HTMLTimeElement | null} */ (part(element, "time"));
  const moment = Date.parse(created);
  if (!time || !moment) return;
  time.dateTime = created;
  time.title = new Date(moment).toLocaleString(language(), {
    dateStyle: "long",
    timeStyle: "short",
  });
}

/**
 * @param {HTMLElement} element
 * @param {string} src
 */
function fillImage(element, src) {
  element.querySelector(".ssen-image")?.remove();
  const image =
    src && make("img", { className: "ssen-image", alt: "", referrerPolicy: "no-referrer", src });
  if (image) element.querySelector(".ssen-level")?.append(image);
}

/**
 * @param {HTMLElement} element
 * @param {Item["actions"]} actions
 * @param {ItemOptions["link"]} link
 * @param {string} token
 */
function fillActions(element, actions, link, token) {
  const made = [];
  // A server of another version may send none, or something else.
  for (const action of [actions].flat()) {
    const { label, url, method } = action ?? {};
    const href = link(url);
    const look = { className: "ssen-action", textContent: label };
    if (!href) continue;
    if (/^post$/i.test(/** @type {any} */ (method))) {
      const form = make("form", { method: "post", action: href });
      // Another site must not learn the token.
      if (new URL(href).origin === location.origin)
        form.append(make("input", { type: "hidden", name: "csrfmiddlewaretoken", value: token }));
      form.append(make("button", look));
      made.push(form);
    } else made.push(make("a", { ...look, ...linkTo(href) }));
  }
  const place = part(element, "actions");
  const buttons = () => [...(place?.querySelectorAll("a, button") ?? [])];
  const at = buttons().indexOf(/** @type {Element} */ (document.activeElement));
  place?.replaceChildren(...made);
  /** @type {HTMLElement | undefined} */ (buttons()[at])?.focus();
  place?.toggleAttribute("hidden", !made.length);
}
