/** Long work, as an item shows it: `data.progress`, and the ephemeral `progress` events between two notifications. */

/** @import { List } from "./list.js" */
import { copy, part } from "./parts.js";
import { relativeTime } from "./times.js";

/** Seconds. */
const ASK_AGAIN = 30;

/** What asks how a work is, if nothing is heard of it. @type {WeakMap<Element, any>} */
const timers = new WeakMap();

/**
 * Show progress, `{state, percent, stage, message, eta, stalls_in, cancellable}` with times in seconds, in an item.
 *
 * @param {HTMLElement} element The item's.
 * @param {string} title The item's.
 * @param {any} progress `undefined`: it has none.
 */
export function fillProgress(element, title, progress) {
  const place = part(element, "progress");
  const bar = place?.querySelector("progress");
  const text = part(element, "stage");
  place?.toggleAttribute("hidden", !progress);
  if (!place) return;
  clearTimeout(timers.get(place));
  offerCancel(place, progress?.cancellable);
  if (!progress || !bar || !text) return;
  const { state, percent, stage, message, eta, stalls_in: stalls } = progress;
  const known = Number.isFinite(percent);
  bar.ariaLabel = title;
  if (known) bar.value = percent;
  else bar.removeAttribute("value");
  // Its own sign: a bar that stands still says nothing.
  bar.hidden = state in text.dataset;
  const left = Number.isFinite(eta) && relativeTime(1_000 * eta, 0);
  text.textContent = [text.dataset[state], known && `${Math.floor(percent)}%`, stage, message, left]
    .filter(Boolean)
    .join(" · ");
  if (state === "running") expectNews(place, stalls);
}

/**
 * Show the button that cancels, which the server's template of an item has, while there is something to cancel.
 *
 * @param {HTMLElement} place
 * @param {unknown} cancellable
 */
function offerCancel(place, cancellable) {
  const old = part(place, "cancel");
  if (!cancellable) return old?.remove();
  const root = place.closest("sse-notify");
  const form = old ?? (root && part(copy(root, "item") ?? root, "cancel"));
  if (!form) return;
  const item = /** @type {HTMLElement | null} */ (place.closest("[data-ssen-item]"));
  for (const field of form.querySelectorAll("[data-ssen-mark]")) {
    /** @type {any} */ (field).value = item?.dataset.ssenItem;
  }
  form.hidden = false;
  if (!old) place.append(form);
}

/**
 * Wait for the next news of a work. Silence alone tells nothing, as live news can be lost on its way: the server knows whether the work
 * has stalled.
 *
 * @param {HTMLElement} place
 * @param {unknown} seconds What is no number waits for nothing.
 */
function expectNews(place, seconds) {
  if (!Number.isFinite(seconds)) return;
  const timer = setTimeout(async () => {
    const item = /** @type {HTMLElement | null} */ (place.closest("[data-ssen-item]"));
    const root = /** @type {HTMLElement | null} */ (place.closest("sse-notify"));
    const id = Number(item?.dataset.ssenItem);
    if (!item || !root) return;
    try {
      const { items } = await (
        await fetch(`${root.dataset.items}?limit=1&before=${Number(item.dataset.seq) + 1 || ""}`)
      ).json();
      if (timers.get(place) !== timer || items[0].id !== id) return; // there is news, or the item is gone
      fillProgress(item, items[0].title, items[0].data?.progress);
    } catch {
      expectNews(place, ASK_AGAIN);
    }
  }, 1_000 * Number(seconds));
  timers.set(place, timer);
}

/** Wait for news of what the server's markup shows as running. @param {ParentNode} root */
export function watchProgress(root) {
  for (const place of /** @type {NodeListOf<HTMLElement>} */ (
    root.querySelectorAll("[data-stalls]")
  )) {
    expectNews(place, Number.parseFloat(place.dataset.stalls ?? ""));
    delete place.dataset.stalls;
  }
}

/**
 * Take a `progress` event; one that means no item of the list is somebody else's.
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
  if (held) held.data = { .../** @type {object} */ (held.data), progress };
  const element = list.find(id);
  if (element) fillProgress(element, part(element, "title")?.textContent ?? "", progress);
}
