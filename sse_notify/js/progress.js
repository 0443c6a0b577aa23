/**
 * The progress of long work in an item: its `progress`, and `progress` events, which are not kept.
 */

/** @import { ItemOptions } from "./item.js" */
/** @import { List } from "./list.js" */
import { PROGRESS_MIN, PROGRESS_RETRY, TIMER_MAX } from "./limits.js";
import { copy, part } from "./parts.js";

/** Timers that ask the server about a work, by the item's element. @type {WeakMap<Element, any>} */
const timers = new WeakMap();

/**
 * Show progress, `{state, percent, stage, message, eta, stalls_in, cancellable}` with times in
 * seconds, in an item.
 *
 * @param {HTMLElement} item The item's element.
 * @param {string} title The item's.
 * @param {any} progress Nothing if it has none.
 * @param {ItemOptions} options
 */
export function fillProgress(item, title, progress, options) {
  const place = part(item, "progress");
  const bar = place?.querySelector("progress");
  const text = part(item, "stage");
  clearTimeout(timers.get(item));
  place?.toggleAttribute("hidden", !progress);
  if (place) offerCancel(item, place, progress?.cancellable);
  if (!progress || !bar || !text) return;
  const { state, percent, stage, message, eta, stalls_in: stalls } = progress;
  const known = Number.isFinite(percent);
  bar.ariaLabel = title;
  if (known) bar.value = percent;
  else bar.removeAttribute("value");
  bar.hidden = state in text.dataset; // words say that a work has ended
  const left = Number.isFinite(eta) && options.relativeTime(eta);
  text.textContent = [text.dataset[state], known && `${Math.floor(percent)}%`, stage, message, left]
    .filter(Boolean)
    .join(" · ");
  if (state === "running") expectNews(item, stalls, options);
}

/**
 * Show the template's button that cancels, while the work can be cancelled.
 *
 * @param {HTMLElement} item
 * @param {HTMLElement} place
 * @param {unknown} cancellable
 */
function offerCancel(item, place, cancellable) {
  const old = part(place, "cancel");
  if (!cancellable) {
    const focused = old?.matches(":focus-within");
    old?.remove();
    if (focused) part(item, "archive")?.focus();
    return;
  }
  const root = widgetOf(item);
  const form = old ?? (root && part(copy(root, "item") ?? root, "cancel"));
  if (!form) return;
  for (const field of form.querySelectorAll("[data-ssen-mark]")) {
    /** @type {any} */ (field).value = item.dataset.ssenItem;
  }
  form.hidden = false;
  if (!old) place.append(form);
}

/** @param {Element} item */
const widgetOf = (item) => item.closest("sse-notify");

/**
 * Ask the server about a work after a while without news. Live news can be lost, so only the server
 * knows whether the work has stalled.
 *
 * @param {HTMLElement} item
 * @param {unknown} seconds If it is not a number, nothing happens.
 * @param {ItemOptions} options
 */
function expectNews(item, seconds, options) {
  if (!Number.isFinite(seconds)) return;
  const wait = Math.min(Math.max(PROGRESS_MIN, 1_000 * Number(seconds)), TIMER_MAX);
  const timer = setTimeout(async () => {
    const before = Number(item.dataset.seq) + 1 || "";
    try {
      // Without a widget the item is gone.
      const page = await widgetOf(item)?.client?.list({ limit: 1, before });
      const [found] = page?.items ?? [];
      // There is news by now, or the item is deleted.
      if (timers.get(item) !== timer || found?.id !== Number(item.dataset.ssenItem)) return;
      fillProgress(item, found.title, found.progress, options);
    } catch {
      expectNews(item, PROGRESS_RETRY / 1_000, options);
    }
  }, wait);
  timers.set(item, timer);
}

/** Expect news of the works that the server's markup shows as running. @param {List} list */
export function watchProgress({ items, options }) {
  for (const item of items())
    expectNews(item, Number.parseFloat(part(item, "progress")?.dataset.stalls ?? ""), options);
}

/**
 * Take a `progress` event. If the list has no such item, the event is for another page.
 *
 * @param {List} list
 * @param {string} data
 */
export function takeProgress(list, data) {
  let progress;
  try {
    progress = JSON.parse(data);
  } catch {
    return;
  }
  const id = Number(progress?.id);
  const held = list.held.find((item) => item.id === id);
  if (held) held.progress = progress;
  const element = list.find(id);
  if (!element) return;
  fillProgress(element, part(element, "title")?.textContent ?? "", progress, list.options);
}
