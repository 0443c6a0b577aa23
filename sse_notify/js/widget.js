/** @import { Arrivals } from "./arrivals.js" */
/** @import { SseNotifyClient } from "./client.js" */
/** @import { Item } from "../static/sse_notify/sse-notify.js" */

import { showCounts } from "./badge.js";
import { makeInteractions } from "./interactions.js";
import { FRAME_HIDDEN, LOAD_AFTER, PAGE, PAGE_SHOWN, STATUS_AFTER, TICK } from "./limits.js";
import { makeList } from "./list.js";
import { loadArrivals } from "./loading.js";
import { makePanel } from "./panel.js";
import { focusHeading, isHidden, words, write } from "./parts.js";
import { placePlain } from "./plain.js";
import { readyStateOf } from "./states.js";
import { language, refreshTimes, relativeTime } from "./times.js";
import { linkOf } from "./urls.js";

/** Whether the developer knows that something does not work: it is told once a page. */
let hasWarned = false;

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
  const list = makeList(root, { link: linkOf(root), token, language, relativeTime }, () =>
    load(true),
  );
  /** Shows what arrives, once it is loaded. @type {Arrivals | undefined} */
  let arrivals;
  /** What the user has not been told of yet. @type {Item[]} */
  let fresh = [];
  /** The number of the last request for a page. */
  let lastLoad = 0;
  let isDrawing = false;
  /** @type {any} */
  let statusTimer;
  /** Why no stream comes, if there are words for it. */
  let trouble = "";

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
    else if (list.held.length) prepare();
    refreshTimes(root);
    showCounts(root, isSignedOut() ? { unread: 0, unseen: 0 } : client.counts);
  };

  /**
   * Load what shows arrivals. If that fails, the items that wait are shown in a plain form, and the
   * user or whoever needs it next tries again.
   */
  const prepare = async () => {
    try {
      const { makeArrivals } = await loadArrivals(dataset.arrivals);
      arrivals ??= makeArrivals(
        list,
        client,
        (id) => {
          drop(id);
          client.refresh();
        },
        draw,
        (upTo) => attempt(client.markSeen(upTo)),
      );
      list.placeItems = arrivals.placeItems;
      if (list.lacking === "script") load();
    } catch {
      placePlain(list, list.held.splice(0));
      list.lacking = "script";
      explain("script");
      sayState();
    }
    drawSoon();
    return arrivals;
  };

  /** Make a screen reader say something at once. @param {string} text */
  const say = async (text) => (await prepare())?.say(text);

  /** Remove an item's toast. @param {number} id */
  const dismiss = (id) => arrivals?.dismiss(id);

  /** Remove an item and its toast. @param {number} id */
  const drop = (id) => {
    list.remove(id);
    dismiss(id);
    fresh = fresh.filter((item) => item.id !== id);
    drawSoon();
  };

  /** Return a text of the status line, "" if there is none. @param {any} name */
  const text = (name) => words(root, "status", name);

  /**
   * Return the words for what does not work, if there are any, and tell the developer, too.
   *
   * @param {string | number} what
   */
  const explain = (what) => {
    const said = text(what);
    if (said && !hasWarned) {
      hasWarned = true;
      console.warn("sse_notify:", what, said, dataset.docs);
    }
    return said;
  };

  /**
   * Say in the panel what does not work.
   *
   * @param {string} [name] What is said if the connection is not to blame.
   */
  const sayState = (name = "") => {
    clearTimeout(statusTimer);
    statusTimer = 0;
    const { state } = client;
    write(root, "status", trouble || text(state) || text(name) || text(list.lacking));
  };

  /** Show the state of the connection: a short break not at all, an end at once. */
  const showState = () => {
    const { state } = client;
    dataset.connection = state;
    if (trouble || readyStateOf(state)) sayState();
    else statusTimer ||= setTimeout(sayState, STATUS_AFTER);
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

  /**
   * Wait for a request whose success is shown already. If it fails, load what is true.
   *
   * @type {<T>(request: Promise<T>) => Promise<T>}
   */
  const attempt = (request) => {
    request.catch(() => load().then(() => sayState("failed")));
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
    list.lacking = "";
    list.changes = [];
    drawSoon();
    try {
      const before = isMore ? list.next : null;
      const asked = client.list(/** @type {any} */ ({ ...list.filter, limit, before }));
      const [page, ready] = await Promise.all([asked, prepare()]);
      if (mine !== lastLoad) return;
      if (ready) ready.placePage(list, page, since, isMore);
      else if (!isMore) placePlain(list, page.items.reverse());
      list.loading = false;
      for (const change of list.changes) list.change(change);
      showState();
    } catch {
      if (mine !== lastLoad) return;
      list.lacking = isMore ? "more" : "first";
      sayState("failed");
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
      list.change(update);
      arrivals?.update(update);
      // Only the server knows where the item belongs.
      if (update.set === "unarchived") load();
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
        list.lacking = "first";
      } else if (list.lacking === "first" && readyStateOf(state.state) === 1) load();
      trouble = explain(state.status);
      showState();
      dispatch("state", state);
    },
    counts(counts) {
      dispatch("counts", counts);
    },
    event(message) {
      arrivals?.event(message);
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
  // Early, as a later release may remove the file.
  const loadTimer = setTimeout(prepare, LOAD_AFTER);
  showState();
  draw();
  // The page may come from a cache, or the bell was out of the page for a while.
  if (dataset.stale || Number(dataset.cursor) < Number(client.cursor)) load();

  return {
    panel,
    stop() {
      for (const end of off) end();
      // If the element is put back, it goes on from here, and loads what the list lacks.
      dataset.cursor = /** @type {any} */ (client.cursor ?? "");
      dataset.stale = /** @type {any} */ (list.held.length || list.lacking);
      [statusTimer, ticking, loadTimer].forEach(clearTimeout);
      ended.abort();
      interactions.forget();
      arrivals?.stop();
      list.end.disconnect();
    },
  };
}
