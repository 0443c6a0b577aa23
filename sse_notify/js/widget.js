/** @import { Arrivals } from "./arrivals.js" */
/** @import { SseNotifyClient } from "./client.js" */
/** @import { Item } from "../static/sse_notify/sse-notify.js" */

import { showCounts } from "./badge.js";
import { makeGestures } from "./gestures.js";
import { loadArrivals } from "./lazy.js";
import {
  EXPIRE_WITHIN,
  FRAME_HIDDEN,
  PAGE,
  PAGE_SHOWN,
  SEEN_AFTER,
  TELL_AFTER,
  TICK,
} from "./limits.js";
import { makeList } from "./list.js";
import { makePanel } from "./panel.js";
import { focusHeading, isHidden, part, showStatus } from "./parts.js";
import { readyStateOf } from "./states.js";
import { refreshTimes } from "./times.js";
import { linkOf } from "./urls.js";

/**
 * What the element shows while it is in a page. However much arrives in a moment, it is shown at once, in one frame.
 *
 * @param {HTMLElement} root The element.
 * @param {SseNotifyClient} client
 * @param {string} token For forms.
 */
export function makeWidget(root, client, token) {
  const { dataset } = root;
  const ended = new AbortController();
  const { signal } = ended;
  const list = makeList(root, { link: linkOf(root), token }, () => load(true));
  /** Shows what arrives, once it is loaded. @type {Arrivals | undefined} */
  let arrivals;
  /** What the user has still to be told of. @type {Item[]} */
  let fresh = [];
  /** Which request for a page is the last. */
  let turn = 0;
  let framed = false;
  /** @type {any} */
  let seenTimer;
  /** The counts that were looked at. @type {unknown} */
  let looked;
  /** @type {any} */
  let statusTimer;
  /** @type {any} */
  let expiryTimer;

  const isSignedOut = () => client.state === "unauthorized";

  /** Show what has changed, with the next frame. */
  const drawSoon = () => {
    if (framed) return;
    framed = true;
    if (isHidden()) setTimeout(show, FRAME_HIDDEN);
    else requestAnimationFrame(show);
  };

  const show = () => {
    framed = false;
    if (signal.aborted) return;
    list.show();
    if (arrivals) arrivals.tell(fresh.splice(0), panel?.isOpen());
    else if (list.held.length) whenReady(drawSoon);
    refreshTimes(root);
    expire();
    look();
    showCounts(root, isSignedOut() ? { unread: 0, unseen: 0 } : client.counts);
  };

  /** Get ready to show what arrives. */
  const prepare = async () => {
    const { makeArrivals } = await loadArrivals(dataset.arrivals);
    arrivals ??= makeArrivals(list);
    list.placeItems = arrivals.placeItems;
    return arrivals;
  };

  /** Get ready, and go on; if that fails, what needs it next tries again. @param {(arrivals: Arrivals) => void} fn */
  const whenReady = (fn) => prepare().then(fn, () => {});

  /** @param {string} text What a screen reader is to say at once. */
  const say = (text) => (arrivals ? arrivals.say(text) : part(root, "live")?.replaceChildren(text));

  /** @param {number} id The item's. @param {number} [upTo] A `seq`: all up to there as well. */
  const dismiss = (id, upTo) => arrivals?.dismiss(id, upTo);

  /** What is past its time goes at its time: one timer, for the next. */
  const expire = () => {
    let soonest = EXPIRE_WITHIN;
    /** @type {(id: unknown, at: string | null | undefined) => void} */
    const check = (id, at) => {
      const left = Date.parse(/** @type {string} */ (at)) - Date.now(); // NaN if it has none
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
    expiryTimer = setTimeout(show, soonest);
  };

  /** @param {number} id */
  const drop = (id) => {
    list.remove(id);
    dismiss(id);
    fresh = fresh.filter((item) => item.id !== id);
    drawSoon();
  };

  /** A short break is nobody's concern; after ten seconds the user is told, and at once when nothing more will come. */
  const showState = () => {
    const { state } = client;
    dataset.connection = state;
    clearTimeout(statusTimer);
    if (readyStateOf(state)) showStatus(root, state);
    else
      statusTimer = setTimeout(
        () => showStatus(root, state === "offline" ? state : "connecting"),
        TELL_AFTER,
      );
  };

  /**
   * Dispatch an event of the element.
   *
   * @param {string} type
   * @param {unknown} detail
   * @returns {boolean} Whether nobody objected.
   */
  const tell = (type, detail) => {
    drawSoon();
    return root.dispatchEvent(
      new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }),
    );
  };

  /** What was before the user's eyes for a second counts as seen. Once for the same counts, whatever comes of it. */
  const look = () => {
    const { counts, cursor } = client;
    if (!panel?.isOpen() || isHidden() || !counts.unseen || isSignedOut()) {
      clearTimeout(seenTimer);
      seenTimer = looked = 0;
    } else if (!seenTimer && looked !== counts) {
      looked = counts;
      seenTimer = setTimeout(() => {
        seenTimer = 0;
        attempt(client.markSeen(cursor));
      }, SEEN_AFTER);
    }
  };

  /** To somebody who is signed out nothing else is said. */
  const regret = () => isSignedOut() || showStatus(root, "failed");

  /** What was shown before it is true: if it fails, the truth is fetched. @type {<T>(promise: Promise<T>) => Promise<T>} */
  const attempt = (promise) => {
    promise.catch(() => load().then(regret));
    return promise;
  };

  /**
   * Fetch the newest items, as many as are shown, or a page of older ones.
   *
   * @param {boolean} [isMore]
   */
  const load = async (isMore = false) => {
    if (isMore && list.loading) return;
    const mine = ++turn;
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
      if (mine !== turn) return;
      placePage(list, page, since, isMore);
      showState();
    } catch {
      if (mine !== turn) return;
      list.failed = isMore ? "more" : "first";
      regret();
    }
    list.loading = false;
    drawSoon();
  };

  /** @type {Record<string, (value: any) => void>} */
  const heard = {
    notification(item) {
      list.add(item);
      if (tell("notification", item) && !item.silent && !item.replayed) fresh.push(item);
    },
    reset: () => load(),
    update(update) {
      list.mark(update);
      const { set, ids = [0], up_to: upTo } = update;
      if (set === "read" || set === "archived") for (const id of ids) dismiss(id, upTo);
      // It comes back where it was, which only the server knows.
      if (set === "unarchived") load();
      tell("update", update);
    },
    remove(update) {
      update.ids.forEach(drop);
      tell("update", update);
    },
    state(state) {
      if (isSignedOut()) {
        // What was somebody's stays on no screen.
        list.clear();
        arrivals?.stop();
        gestures.forget();
        fresh = [];
        list.failed = "first";
      } else if (list.failed === "first" && readyStateOf(state.state) === 1) load();
      showState();
      tell("state", state);
    },
  };
  heard.counts = (counts) => tell("counts", counts);
  heard.event = (message) => {
    if (message.event === "progress")
      whenReady(({ takeProgress }) => takeProgress(list, message.data));
    tell("event", message);
  };

  const gestures = makeGestures(
    root,
    client,
    list,
    { dismiss, say, attempt, drawSoon, load, regret, tell },
    signal,
  );
  const panel = makePanel(
    root,
    (open) => {
      if (open) {
        focusHeading(root);
        arrivals?.clear(); // the panel shows them
      }
      drawSoon();
    },
    signal,
  );
  const off = Object.entries(heard).map(([type, fn]) => client.on(/** @type {any} */ (type), fn));
  const tick = setInterval(() => isHidden() || drawSoon(), TICK);
  document.addEventListener("visibilitychange", show, { signal });
  if (root.querySelector("[data-stalls]")) whenReady(drawSoon);
  showState();
  show();
  // A copy of an older page, or a bell that was gone for a while.
  if (dataset.stale || Number(dataset.cursor) < Number(client.cursor)) load();

  return {
    panel,
    stop() {
      for (const end of off) end();
      // Where it goes on if it is put back, and whether the list lacks something then.
      dataset.cursor = `${client.cursor ?? ""}`;
      dataset.stale = `${list.held.length || list.failed}`;
      for (const timer of [seenTimer, statusTimer, expiryTimer, tick]) clearTimeout(timer);
      ended.abort();
      gestures.forget();
      arrivals?.stop();
      list.end.disconnect();
    },
  };
}
