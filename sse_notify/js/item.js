/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { part, write } from "./parts.js";
import { refreshTimes, relativeTime } from "./times.js";
import { safeUrl } from "./urls.js";

/**
 * Fill a clone of the server's own template for an item, or fill an item again. What came is text and is set as text.
 *
 * @param {HTMLElement} element
 * @param {Item} item
 * @param {{external: boolean, token: string}} options
 */
export function fillItem(element, item, { external, token }) {
  element.dataset.ssenItem = String(item.id);
  if (item.seq != null) element.dataset.seq = String(item.seq);
  element.dataset.level = item.level;
  setData(element, "category", item.category);
  setData(element, "expires", item.expires_at);
  element.toggleAttribute("data-unread", Boolean(item.unread));
  element.toggleAttribute("data-unseen", Boolean(item.unseen));
  fillTitle(element, item.title, safeUrl(item.url, document.baseURI, external));
  write(element, "body", item.body);
  write(element, "category", item.category);
  write(element, "count", item.count > 1 && `×${item.count}`);
  for (const name of element.querySelectorAll('[data-ssen="name"]')) name.textContent = item.title;
  for (const button of element.querySelectorAll("button[data-ssen-mark]")) button.setAttribute("value", String(item.id));
  fillTime(element, item.created_at);
  fillImage(element, safeUrl(item.icon, document.baseURI, external));
  fillProgress(element, item);
  fillActions(element, item.actions, external, token);
}

/**
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string | null | undefined} value
 */
function setData(element, name, value) {
  if (value) element.dataset[name] = value;
  else delete element.dataset[name];
}

/**
 * @param {ParentNode} element
 * @param {string} title
 * @param {string | undefined} href
 */
export function fillTitle(element, title, href) {
  const old = part(element, "title");
  if (!old) return;
  const link = document.createElement(href ? "a" : "span");
  link.className = old.className;
  link.dataset.ssen = "title";
  link.textContent = title;
  if (href) {
    link.setAttribute("href", href);
    link.setAttribute("rel", "noopener noreferrer");
  }
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
  time.title = new Date(moment).toLocaleString(document.documentElement.lang || undefined, {
    dateStyle: "long",
    timeStyle: "short",
  });
  refreshTimes(element);
}

/**
 * @param {HTMLElement} element
 * @param {string | undefined} source
 */
function fillImage(element, source) {
  element.querySelector(".ssen-image")?.remove();
  if (!source) return;
  const image = document.createElement("img");
  image.className = "ssen-image";
  image.alt = "";
  image.referrerPolicy = "no-referrer";
  image.src = source;
  element.querySelector(".ssen-level")?.append(image);
}

/**
 * Long work: `data.progress` of an item is `{state, percent, stage, message, eta}`, with `eta` in seconds.
 *
 * @param {HTMLElement} element
 * @param {Item} item
 */
function fillProgress(element, item) {
  const progress = /** @type {any} */ (item.data)?.progress;
  const place = part(element, "progress");
  const bar = place?.querySelector("progress");
  const text = part(element, "stage");
  place?.toggleAttribute("hidden", !progress);
  if (!progress || !bar || !text) return;
  const { state, percent, stage, message, eta } = progress;
  const known = Number.isFinite(percent);
  bar.setAttribute("aria-label", item.title);
  if (known) bar.value = percent;
  else bar.removeAttribute("value");
  // Its own sign: a bar that stands still says nothing.
  bar.hidden = state in text.dataset;
  const left = Number.isFinite(eta) && relativeTime(1_000 * eta, 0, document.documentElement.lang);
  text.textContent = [text.dataset[state], known && `${Math.floor(percent)}%`, stage, message, left].filter(Boolean).join(" · ");
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
    if (!href) continue;
    const isForm = String(method).toUpperCase() === "POST";
    const control = document.createElement(isForm ? "button" : "a");
    control.className = "ssen-action";
    control.textContent = String(label);
    if (isForm) {
      const form = document.createElement("form");
      form.method = "post";
      form.action = href;
      // The token is this site's secret.
      if (safeUrl(href, document.baseURI)) form.append(hidden("csrfmiddlewaretoken", token));
      form.append(control);
      made.push(form);
    } else {
      control.setAttribute("href", href);
      control.setAttribute("rel", "noopener noreferrer");
      made.push(control);
    }
  }
  const place = part(element, "actions");
  place?.replaceChildren(...made);
  place?.toggleAttribute("hidden", made.length === 0);
}

/**
 * @param {string} name
 * @param {string} value
 */
function hidden(name, value) {
  const input = document.createElement("input");
  input.type = "hidden";
  input.name = name;
  input.value = value;
  return input;
}
