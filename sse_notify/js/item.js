/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { part, write } from "./parts.js";
import { fillProgress } from "./progress.js";
import { language, refreshTimes } from "./times.js";
import { safeUrl } from "./urls.js";

/**
 * Fill a clone of the server's own template for an item, or fill an item again. What came is text and is set as text.
 *
 * @param {HTMLElement} element
 * @param {Item} item
 * @param {{external: boolean, token: string}} options
 */
export function fillItem(element, item, { external, token }) {
  const { id: ssenItem, seq, level, category, expires_at: at } = item;
  Object.assign(element.dataset, {
    ssenItem,
    level,
    category,
    expires: at ?? "",
    ...(seq != null && { seq }),
  });
  element.toggleAttribute("data-unread", Boolean(item.unread));
  element.toggleAttribute("data-unseen", Boolean(item.unseen));
  fillTitle(element, item.title, safeUrl(item.url, document.baseURI, external));
  write(element, "body", item.body);
  write(element, "category", item.category);
  const progress = /** @type {any} */ (item.data)?.progress;
  write(element, "count", item.count > 1 && !progress && `×${item.count}`);
  for (const name of element.querySelectorAll("[data-ssen=name]")) name.textContent = item.title;
  for (const button of element.querySelectorAll("[data-ssen-mark]")) {
    /** @type {any} */ (button).value = item.id;
  }
  fillTime(element, item.created_at);
  fillImage(element, safeUrl(item.icon, document.baseURI, external));
  fillProgress(element, item.title, progress);
  fillActions(element, item.actions, external, token);
}

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} properties
 */
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

/** What makes an element a link, that does not tell where it was followed from. @param {string} href */
const linkTo = (href) => href && { href, rel: "noopener noreferrer" };

/**
 * @param {ParentNode} element
 * @param {string} title
 * @param {string} href
 */
export function fillTitle(element, title, href) {
  const old = part(element, "title");
  if (!old) return;
  const { className, dir } = old;
  const link = make(href ? "a" : "span", { className, dir, textContent: title, ...linkTo(href) });
  link.dataset.ssen = "title";
  const focused = document.activeElement === old;
  old.replaceWith(link);
  if (focused) link.focus();
}

/**
 * @param {HTMLElement} element
 * @param {string} created
 */
function fillTime(element, created) {
  const time = /** @type {HTMLTimeElement | null} */ (part(element, "time"));
  const moment = Date.parse(created);
  if (!time || !moment) return;
  time.dateTime = created;
  time.title = new Date(moment).toLocaleString(language(), {
    dateStyle: "long",
    timeStyle: "short",
  });
  refreshTimes(element);
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
 * @param {boolean} external
 * @param {string} token The CSRF token of a form.
 */
function fillActions(element, actions, external, token) {
  const made = [];
  for (const { label, url, method } of Array.isArray(actions) ? actions : []) {
    const href = safeUrl(url, document.baseURI, external);
    const look = { className: "ssen-action", textContent: label };
    if (!href) continue;
    if (/^post$/i.test(method ?? "")) {
      const form = make("form", { method: "post", action: href });
      // The token is this site's secret.
      if (safeUrl(href))
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
