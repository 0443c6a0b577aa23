/** @import { Arrivals } from "./arrivals.js" */
/** @import { SseNotifyClient } from "./client.js" */
/** @import { Item } from "../static/sse_notify/sse-notify.js" */

import { showCounts } from "./badge.js";
import { makeInteractions } from "./interactions.js";
import {
  EXPIRE_WITHIN,
  FRAME_HIDDEN,
  PAGE,
  PAGE_SHOWN,
  SEEN_AFTER,
  STATUS_AFTER,
  TICK,
} from "./limits.js";
import { makeList } from "./list.js";
import { loadArrivals } from "./loading.js";
import { makePanel } from "./panel.js";
import { focusHeading, isHidden, part, showStatus } from "./parts.js";
import { readyStateOf } from "./states.js";
import { refreshTimes } from "./times.js";
import { linkOf } from "./urls.js";

/**
 * What the element shows while it is in a page. However much arrives at once, it is drawn in one
 * frame.
 *
 * @param {HTMLElement} root The element.
 * @param {SseNotifyClient} client
 * @param {string} token The CSRF token of forms.
 */
export function makeWidget(root, client, token) {
  const { dataset } = root;
  const ended = new AbortController();
  const { signal } = ended;
  const list = makeList(root, { link: linkOf(root), token }, () => load(true));
  /** Shows what arrives, once it is loaded. @type {Arrivals | undefined} */
  let arrivals;
  /** What the user has not been told of yet. @type {Item[]} */
  let fresh = [];
  /** The number of the last request for a page. */
  let lastLoad = 0;
  let isDrawing = false;
  /** @type {any} */
  let seenTimer;
  /** The counts for which the items were marked as seen. @type {unknown} */
  let seenCounts;
  /** @type {any} */
  let statusTimer;
  /** @type {any} */
  let expiryTimer;

  const isSignedOut = () => client.state === "unauthorized";

  /** Draw what has changed in the next frame. */
  const drawSoon = () => {
    if (isDrawing) return;
    isDrawing = true;
    if (isHidden()) setTimeout(draw, FRAME_HIDDEN);
    else requestAnimationFrame(draw);
  };

  const draw = () => {
    isDrawing = false;
    if (signal.aborted) return;
    list.draw();
    if (arrivals) arrivals.tell(fresh.splice(0), panel?.isOpen());
    else if (list.held.length) whenReady(drawSoon);
    refreshTimes(root);
    expire();
    markSeenSoon();
    showCounts(root, isSignedOut() ? { unread: 0, unseen: 0 } : client.counts);
  };

  /** Load what shows arrivals. */
  const prepare = async () => {
    const { makeArrivals } = await loadArrivals(dataset.arrivals);
    arrivals ??= makeArrivals(list);
    list.placeItems = arrivals.placeItems;
    return arrivals;
  };

  /**
   * Call a function when arrivals can be shown. If loading fails, whoever needs it next tries
   * again.
   *
   * @param {(arrivals: Arrivals) => void} fn
   */
  const whenReady = (fn) => prepare().then(fn, () => {});

  /** Make a screen reader say something at once. @param {string} text */
  const say = (text) => (arrivals ? arrivals.say(text) : part(root, "live")?.replaceChildren(text));

  /**
   * Remove toasts.
   *
   * @param {number} id The item's.
   * @param {number} [upTo] A `seq`: the toasts of all items up to it go as well.
   */
  const dismiss = (id, upTo) => arrivals?.dismiss(id, upTo);

  /** Remove the items that have expired, and set a timer for the next one. */
  const expire = () => {
    let soonest = EXPIRE_WITHIN;
    /** @type {(id: unknown, at: string | null | undefined) => void} */
    const check = (id, at) => {
      const left = Date.parse(/** @type {string} */ (at)) - Date.now(); // NaN if it never expires
      if (left <= 0) {
        drop(Number(id));
        client.refresh();
      } else if (left < soonest) soonest = left;
    };
    for (const { id, expires_at: at } of list.held) check(id, at);
    for (const { dataset: of } of /** @type {NodeListOf<HTMLElement>} */ (
      root.querySelectorAll("[data-expires]")
    )) {
      check(of.ssenItem, of.expires);
    }
    clearTimeout(expiryTimer);
    expiryTimer = setTimeout(draw, soonest);
  };

  /** Remove an item and its toast. @param {number} id */
  const drop = (id) => {
    list.remove(id);
    dismiss(id);
    fresh = fresh.filter((item) => item.id !== id);
    drawSoon();
  };

  /** Show the state of the connection: a short break not at all, an end at once. */
  const showState = () => {
    const { state } = client;
    dataset.connection = state;
    clearTimeout(statusTimer);
    if (readyStateOf(state)) showStatus(root, state);
    else
      statusTimer = setTimeout(
        () => showStatus(root, state === "offline" ? state : "connecting"),
        STATUS_AFTER,
      );
  };

  /**
   * Dispatch an event of the element.
   *
   * @param {string} type
   * @param {unknown} detail
   * @returns {boolean} Whether no listener cancelled it.
   */
  const dispatch = (type, detail) => {
    drawSoon();
    return root.dispatchEvent(
      new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }),
    );
  };

  /** Mark items as seen that the user sees for a second; for the same counts only once. */
  const markSeenSoon = () => {
    const { counts, cursor } = client;
    if (!panel?.isOpen() || isHidden() || !counts.unseen || isSignedOut()) {
      clearTimeout(seenTimer);
      seenTimer = seenCounts = 0;
    } else if (!seenTimer && seenCounts !== counts) {
      seenCounts = counts;
      seenTimer = setTimeout(() => {
        seenTimer = 0;
        attempt(client.markSeen(cursor));
      }, SEEN_AFTER);
    }
  };

  /** Say that something failed. A user who is signed out is told nothing but that. */
  const showFailure = () => isSignedOut() || showStatus(root, "failed");

  /**
   * Wait for a request whose success is shown already. If it fails, load what is true.
   *
   * @type {<T>(request: Promise<T>) => Promise<T>}
   */
  const attempt = (request) => {
    request.catch(() => load().then(showFailure));
    return request;
  };

  /**
   * Load the newest items, as many as are shown, or a page of older ones.
   *
   * @param {boolean} [isMore]
   */
  const load = async (isMore = false) => {
    if (isMore && list.loading) return;
    const mine = ++lastLoad;
    const since = client.cursor ?? 0;
    const size = Number(dataset.limit) || PAGE_SHOWN;
    const limit = isMore ? size : Math.min(PAGE, Math.max(size, list.items().length + 1));
    list.loading = true;
    list.failed = "";
    drawSoon();
    try {
      const before = isMore ? list.next : null;
      const asked = client.list(/** @type {any} */ ({ ...list.filter, limit, before }));
      const [page, { placePage }] = await Promise.all([asked, prepare()]);
      if (mine !== lastLoad) return;
      placePage(list, page, since, isMore);
      showState();
    } catch {
      if (mine !== lastLoad) return;
      list.failed = isMore ? "more" : "first";
      showFailure();
    }
    list.loading = false;
    drawSoon();
  };

  /** What happens with each event of the client. @type {Record<string, (value: any) => void>} */
  const handlers = {
    notification(item) {
      list.add(item);
      if (dispatch("notification", item) && !item.silent && !item.replayed) fresh.push(item);
    },
    reset: () => load(),
    update(update) {
      list.mark(update);
      const { set, ids = [0], up_to: upTo } = update;
      if (set === "read" || set === "archived") for (const id of ids) dismiss(id, upTo);
      // Only the server knows where the item belongs.
      if (set === "unarchived") load();
      dispatch("update", update);
    },
    remove(update) {
      update.ids.forEach(drop);
      dispatch("update", update);
    },
    state(state) {
      if (isSignedOut()) {
        // Leave nothing of the user on the screen.
        list.clear();
        arrivals?.stop();
        interactions.forget();
        fresh = [];
        list.failed = "first";
      } else if (list.failed === "first" && readyStateOf(state.state) === 1) load();
      showState();
      dispatch("state", state);
    },
    counts(counts) {
      dispatch("counts", counts);
    },
    event(message) {
      if (message.event === "progress")
        whenReady(({ takeProgress }) => takeProgress(list, message.data));
      dispatch("event", message);
    },
  };

  const interactions = makeInteractions(
    root,
    client,
    list,
    { dismiss, say, attempt, drawSoon, load, dispatch },
    signal,
  );
  const panel = makePanel(
    root,
    (open) => {
      if (open) {
        focusHeading(root);
        arrivals?.clear(); // the panel shows what the toasts show
      }
      drawSoon();
    },
    signal,
  );
  const off = Object.entries(handlers).map(([type, fn]) =>
    client.on(/** @type {any} */ (type), fn),
  );
  const ticking = setInterval(() => isHidden() || drawSoon(), TICK);
  document.addEventListener("visibilitychange", draw, { signal });
  if (root.querySelector("[data-stalls]")) whenReady(drawSoon);
  showState();
  draw();
  // The page may come from a cache, or the bell was out of the page for a while.
  if (dataset.stale || Number(dataset.cursor) < Number(client.cursor)) load();

  return {
    panel,
    stop() {
      for (const end of off) end();
      // If the element is put back, it goes on from here, and loads what the list lacks.
      dataset.cursor = `${client.cursor ?? ""}`;
      dataset.stale = `${list.held.length || list.failed}`;
      for (const timer of [seenTimer, statusTimer, expiryTimer, ticking]) clearTimeout(timer);
      ended.abort();
      interactions.forget();
      arrivals?.stop();
      list.end.disconnect();
    },
  };
}
