/** @import { SseNotifyClient } from "./client.js" */
/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { permission, popUp, ring } from "./alerts.js";
import { makeAnnouncer } from "./announcer.js";
import { showCounts, showTitle } from "./badge.js";
import { makeGestures } from "./gestures.js";
import { makeList } from "./list.js";
import { makePanel } from "./panel.js";
import { isHidden, part, words, write } from "./parts.js";
import { refreshTimes } from "./times.js";
import { makeToasts } from "./toasts.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const TELL_AFTER = 10_000;
const SEEN_AFTER = 1_000;
const TICK = 30_000;
const HIDDEN_FRAME = 200; // a page that nobody sees draws no frames
const HOUR = 3_600_000; // no timer runs for longer than some weeks

const MOST_ASKED = 100; // items in one answer

/** @typedef {Omit<ReturnType<typeof makeWidget>, "panel" | "stop">} Widget */

/**
 * What the element shows while it is in a page. However much arrives in a moment, it is shown at once, in one frame.
 *
 * @param {HTMLElement} root The element.
 * @param {SseNotifyClient} client
 * @param {string} token For forms.
 */
export function makeWidget(root, client, token) {
  const { dataset } = root;
  const external = "external" in dataset;
  const ended = new AbortController();
  const { signal } = ended;
  const list = makeList(root, { external, token }, () => load(true));
  const toasts = makeToasts(root);
  const announcer = makeAnnouncer(root);
  /** What toasts and alerts have still to tell of. @type {Item[]} */
  let fresh = [];
  /** Which request for a page is the last. */
  let turn = 0;
  let framed = false;
  /** @type {any} */
  let seenTimer;
  /** @type {any} */
  let statusTimer;
  /** @type {any} */
  let expiryTimer;

  const focus = () => part(root, "heading")?.focus({ preventScroll: true });

  /** Show what has changed, with the next frame. */
  const draw = () => {
    if (framed) return;
    framed = true;
    if (isHidden()) setTimeout(show, HIDDEN_FRAME);
    else requestAnimationFrame(show);
  };

  const show = () => {
    framed = false;
    if (signal.aborted) return;
    list.flush();
    alert(fresh.splice(0));
    part(root, "undone")?.toggleAttribute("hidden", !gestures.canUndo());
    part(root, "desktop")?.toggleAttribute("hidden", permission() !== "default");
    expire();
    showCounts(root, client.state === "unauthorized" ? { unread: 0, unseen: 0 } : client.counts);
  };

  /** @param {Item[]} items What has just arrived. */
  const alert = (items) => {
    const { toasts: which, sound, desktop } = dataset;
    const wanted = items.filter(({ level }) => which === "on" || (which === "urgent" && /warning|error/.test(level)));
    if (!panel?.isOpen()) for (const item of wanted.slice(-3)) toasts.show(item, external);
    // One tab of a browser is enough.
    if (!items.length || !client.leading) return;
    if (sound) ring(sound);
    if (desktop === undefined) return;
    popUp(items, words(root, "live", "many", { count: items.length }), (item) => {
      if (!item) return panel?.toggle(true);
      gestures.read(item.id);
      const url = safeUrl(item.url, document.baseURI, external);
      if (tell("click", { id: item.id, url }) && url) location.assign(url);
    });
  };

  /** What is past its time goes at its time: one timer, for the next. */
  const expire = () => {
    let soonest = HOUR;
    let gone = false;
    const ends = list.held().map(({ id, expires_at: at }) => [id, at]);
    for (const { dataset: of } of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-expires]"))) {
      ends.push([Number(of.ssenItem ?? of.ssenToast), of.expires ?? ""]);
    }
    for (const [id, at] of ends) {
      const left = Date.parse(String(at)) - Date.now();
      if (left <= 0) {
        drop(Number(id));
        gone = true;
      } else if (left < soonest) soonest = left;
    }
    if (gone) client.refresh();
    clearTimeout(expiryTimer);
    expiryTimer = setTimeout(show, soonest);
  };

  /** @param {number} id */
  const drop = (id) => {
    list.remove(id);
    toasts.dismiss(id);
    fresh = fresh.filter((item) => item.id !== id);
    draw();
  };

  /** @param {string} name The data attribute that holds the text; "": nothing to say. */
  const showStatus = (name) => write(root, "status", name && words(root, "status", name));

  /** A short break is nobody's concern; after ten seconds the user is told, and at once when nothing more will come. */
  const showState = () => {
    const { state } = client;
    dataset.connection = state;
    clearTimeout(statusTimer);
    if (state === "unauthorized" || state === "stopped") showStatus(state);
    else if (["open", "polling", "follower"].includes(state)) showStatus("");
    else statusTimer = setTimeout(() => showStatus(state === "offline" ? state : "connecting"), TELL_AFTER);
  };

  /**
   * Dispatch an event of the element.
   *
   * @param {string} type
   * @param {unknown} detail
   * @returns {boolean} Whether nobody objected.
   */
  const tell = (type, detail) => {
    draw();
    return root.dispatchEvent(new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }));
  };

  /** What is before the user's eyes for a second counts as seen. */
  const look = () => {
    clearTimeout(seenTimer);
    if (!panel?.isOpen() || isHidden() || !client.counts.unseen || client.state === "unauthorized") return;
    seenTimer = setTimeout(() => attempt(client.markSeen()), SEEN_AFTER);
  };

  /** @param {Promise<unknown>} promise What was shown before it is true: if it fails, the truth is fetched. */
  const attempt = (promise) => {
    promise.catch(() => load().then(() => showStatus("failed")));
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
    const size = Number(dataset.limit) || 20;
    const limit = isMore ? size : Math.min(MOST_ASKED, Math.max(size, list.items().length + 1));
    list.loading = true;
    list.failed = "";
    draw();
    try {
      const page = await client.list({ ...list.filter, limit, ...(isMore && { before: list.next ?? 0 }) });
      if (mine !== turn) return;
      list.take(page, since, isMore);
      showState();
    } catch {
      if (mine !== turn) return;
      list.failed = isMore ? "more" : "first";
      showStatus("failed");
    }
    list.loading = false;
    draw();
  };

  /** @type {Record<string, (value: any) => void>} */
  const heard = {
    notification(item) {
      list.add(item);
      if (!tell("notification", item) || item.silent) return;
      look();
      if (item.replayed) return;
      fresh.push(item);
      announcer.announce(item.title);
    },
    reset: () => load(),
    update(update) {
      list.mark(update);
      if (update.set === "read") update.ids?.forEach(toasts.dismiss);
      // It comes back where it was, which only the server knows.
      if (update.set === "unarchived") load();
      tell("update", update);
    },
    remove(update) {
      update.ids.forEach(drop);
      tell("update", update);
    },
    counts: (counts) => tell("counts", counts),
    state(state) {
      if (state.state === "unauthorized") {
        // What was somebody's stays on no screen.
        list.clear();
        toasts.clear();
        announcer.stop();
        gestures.forget();
        fresh = [];
      }
      showState();
      tell("state", state);
    },
    event: (message) => tell("event", message),
  };

  const self = { root, client, list, toasts, announcer, attempt, draw, focus, load, showStatus, tell };
  const gestures = makeGestures(self, signal);
  const panel = makePanel(
    root,
    (open) => {
      if (open) {
        focus();
        toasts.clear(); // the panel shows them
      }
      look();
    },
    signal,
  );
  const off = Object.entries(heard).map(([type, fn]) => client.on(/** @type {any} */ (type), fn));
  const tick = setInterval(() => isHidden() || refreshTimes(root), TICK);
  const seen = () => {
    show();
    look();
  };
  document.addEventListener("visibilitychange", seen, { signal });
  refreshTimes(root);
  showState();
  show();

  return {
    ...self,
    panel,
    stop() {
      for (const end of off) end();
      for (const timer of [seenTimer, statusTimer, expiryTimer, tick]) clearTimeout(timer);
      ended.abort();
      gestures.forget();
      announcer.stop();
      toasts.clear();
      list.end.disconnect();
      showTitle("");
    },
  };
}
