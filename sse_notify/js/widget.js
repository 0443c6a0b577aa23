/** @import { SseNotifyClient } from "./client.js" */
/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { permission, popUp, ring } from "./alerts.js";
import { Announcer } from "./announcer.js";
import { showCounts, showTitle } from "./badge.js";
import { Gestures } from "./gestures.js";
import { ItemList } from "./list.js";
import { Panel } from "./panel.js";
import { isHidden, part, words, write } from "./parts.js";
import { refreshTimes } from "./times.js";
import { Toasts } from "./toasts.js";
import { safeUrl } from "./urls.js";

/** Milliseconds. */
const TELL_AFTER = 10_000;
const SEEN_AFTER = 1_000;
const TICK = 30_000;
const HIDDEN_FRAME = 200; // a page that nobody sees draws no frames
const HOUR = 3_600_000; // no timer runs for longer than some weeks

const MOST_ASKED = 100; // items in one answer

/** What the element shows while it is in a page. However much arrives in a moment, it is shown at once, in one frame. */
export class Widget {
  /** @type {Panel | undefined} */
  panel;
  /** What toasts and alerts have still to tell of. @type {Item[]} */
  #fresh = [];
  /** Which request for a page is the last. */
  #turn = 0;
  #framed = false;
  /** @type {any} */
  #seenTimer;
  /** @type {any} */
  #statusTimer;
  /** @type {any} */
  #expiryTimer;
  /** @type {(() => void)[]} */
  #off;

  /**
   * @param {HTMLElement} root The element.
   * @param {SseNotifyClient} client
   * @param {string} token For forms.
   */
  constructor(root, client, token) {
    this.root = root;
    this.client = client;
    const list = new ItemList(root, { external: "external" in root.dataset, token }, () => this.load(true));
    const toasts = new Toasts(root);
    const announcer = new Announcer(root);
    this.list = list;
    this.toasts = toasts;
    this.announcer = announcer;
    this.gestures = new Gestures(this);
    this.#upgradeBell();
    refreshTimes(root);

    const tick = setInterval(() => isHidden() || refreshTimes(root), TICK);
    const ended = new AbortController();
    const look = () => {
      this.show();
      this.#look();
    };
    document.addEventListener("visibilitychange", look, { signal: ended.signal });
    /** @type {Record<string, (value: any) => void>} */
    const heard = {
      notification: (item) => {
        list.add(item);
        if (!this.tell("notification", item) || item.silent) return;
        if (this.panel?.isOpen) this.#look();
        if (item.replayed) return;
        this.#fresh.push(item);
        announcer.announce(item.title);
      },
      reset: () => this.load(),
      update: (update) => {
        list.mark(update);
        if (update.set === "read") for (const id of update.ids ?? []) toasts.dismiss(id);
        // It comes back where it was, which only the server knows.
        if (update.set === "unarchived") this.load();
        this.tell("update", update);
      },
      remove: (update) => {
        for (const id of update.ids) this.#drop(id);
        this.tell("update", update);
      },
      counts: (counts) => this.tell("counts", counts),
      state: (state) => {
        if (state.state === "unauthorized") {
          // What was somebody's stays on no screen.
          list.clear();
          toasts.clear();
          announcer.stop();
          this.gestures.forget();
          this.#fresh = [];
        }
        this.showState();
        this.tell("state", state);
      },
      event: (message) => this.tell("event", message),
    };
    this.#off = Object.entries(heard).map(([type, fn]) => client.on(/** @type {any} */ (type), fn));
    this.#off.push(
      () => clearInterval(tick),
      () => ended.abort(),
    );
    this.showState();
    this.show();
  }

  stop() {
    for (const off of this.#off) off();
    for (const timer of [this.#seenTimer, this.#statusTimer, this.#expiryTimer]) clearTimeout(timer);
    this.#framed = true; // no more frames
    this.panel?.stop();
    this.gestures.stop();
    this.announcer.stop();
    this.toasts.clear();
    this.list.end.disconnect();
    showTitle("");
  }

  /** The link to the list page becomes the button of the panel. */
  #upgradeBell() {
    const panel = part(this.root, "panel");
    let bell = part(this.root, "bell");
    if (!panel || !bell) return;
    if (bell.localName === "a") {
      const button = document.createElement("button");
      for (const { name, value } of bell.attributes) if (name !== "href") button.setAttribute(name, value);
      button.type = "button";
      button.append(...bell.childNodes);
      bell.replaceWith(button);
      bell = button;
    }
    this.panel = new Panel(panel, bell, (open) => {
      if (open) {
        this.focus();
        this.toasts.clear(); // the panel shows them
      }
      this.#look();
    });
  }

  focus() {
    part(this.root, "heading")?.focus({ preventScroll: true });
  }

  /** What is before the user's eyes for a second counts as seen. */
  #look() {
    clearTimeout(this.#seenTimer);
    if (!this.panel?.isOpen || isHidden() || !this.client.counts.unseen) return;
    this.#seenTimer = setTimeout(() => this.attempt(this.client.markSeen()), SEEN_AFTER);
  }

  /** @param {Promise<unknown>} promise What was shown before it is true: if it fails, the truth is fetched. */
  attempt(promise) {
    promise.catch(() => this.load().then(() => this.showStatus("failed")));
  }

  /**
   * Fetch the newest items, as many as are shown, or a page of older ones.
   *
   * @param {boolean} [isMore]
   */
  async load(isMore = false) {
    const { client, list, root } = this;
    if (isMore && list.loading) return;
    const turn = ++this.#turn;
    const since = client.cursor ?? 0;
    const size = Number(root.dataset.limit) || 20;
    const limit = isMore ? size : Math.min(MOST_ASKED, Math.max(size, list.items.length + 1));
    list.loading = true;
    this.draw();
    try {
      const page = await client.list({ ...list.filter, limit, ...(isMore && { before: list.next ?? 0 }) });
      if (turn !== this.#turn) return;
      if (page) list.take(page, since, isMore);
      list.failed = "";
      this.showState();
    } catch {
      if (turn !== this.#turn) return;
      list.failed = isMore ? "more" : "first";
      this.showStatus("failed");
    }
    list.loading = false;
    this.draw();
  }

  /** @param {number} id */
  #drop(id) {
    this.list.remove(id);
    this.toasts.dismiss(id);
    this.#fresh = this.#fresh.filter((item) => item.id !== id);
    this.draw();
  }

  /** Show what has changed, with the next frame. */
  draw() {
    if (this.#framed) return;
    this.#framed = true;
    if (isHidden()) setTimeout(() => this.show(), HIDDEN_FRAME);
    else requestAnimationFrame(() => this.show());
  }

  show() {
    const { root, client, list } = this;
    if (!root.isConnected) return;
    this.#framed = false;
    list.flush();
    this.#alert(this.#fresh.splice(0));
    part(root, "undone")?.toggleAttribute("hidden", !this.gestures.archived.length);
    part(root, "desktop")?.toggleAttribute("hidden", permission() !== "default");
    this.#expire();
    showCounts(root, client.state === "unauthorized" ? { unread: 0, unseen: 0 } : client.counts);
  }

  /** @param {Item[]} fresh */
  #alert(fresh) {
    const { root, client, list } = this;
    const { toasts, sound, desktop } = root.dataset;
    const { external } = list.options;
    const wanted = fresh.filter(({ level }) => toasts === "on" || (toasts === "urgent" && /warning|error/.test(level)));
    if (!this.panel?.isOpen) for (const item of wanted.slice(-3)) this.toasts.show(item, external);
    // One tab of a browser is enough.
    if (!fresh.length || client.leading === false) return;
    if (sound) ring(sound);
    if (desktop === undefined) return;
    popUp(fresh, words(root, "live", "many", { count: fresh.length }), (item) => {
      if (!item) return this.panel?.toggle(true);
      this.gestures.read(item.id);
      const url = safeUrl(item.url, document.baseURI, external);
      if (this.tell("click", { id: item.id, url }) && url) location.assign(url);
    });
  }

  /** What is past its time goes at its time: one timer, for the next. */
  #expire() {
    let soonest = HOUR;
    let gone = false;
    const ends = this.list.held.map(({ id, expires_at: at }) => [id, at]);
    for (const { dataset } of /** @type {NodeListOf<HTMLElement>} */ (this.root.querySelectorAll("[data-expires]"))) {
      ends.push([Number(dataset.ssenItem ?? dataset.ssenToast), dataset.expires ?? ""]);
    }
    for (const [id, at] of ends) {
      const left = Date.parse(String(at)) - Date.now();
      if (left <= 0) {
        this.#drop(Number(id));
        gone = true;
      } else if (left < soonest) soonest = left;
    }
    if (gone) this.client.refresh();
    clearTimeout(this.#expiryTimer);
    this.#expiryTimer = setTimeout(() => this.show(), soonest);
  }

  /** A short break is nobody's concern; after ten seconds the user is told, and at once when nothing more will come. */
  showState() {
    const { state } = this.client;
    this.root.dataset.connection = state;
    clearTimeout(this.#statusTimer);
    if (state === "unauthorized" || state === "stopped") this.showStatus(state);
    else if (["open", "polling", "follower"].includes(state)) this.showStatus("");
    else this.#statusTimer = setTimeout(() => this.showStatus(state === "offline" ? state : "connecting"), TELL_AFTER);
    this.draw();
  }

  /** @param {string} name The data attribute that holds the text; "": nothing to say. */
  showStatus(name) {
    write(this.root, "status", name && words(this.root, "status", name));
  }

  /**
   * Dispatch an event of the element.
   *
   * @param {string} type
   * @param {unknown} detail
   * @returns {boolean} Whether nobody objected.
   */
  tell(type, detail) {
    this.draw();
    return this.root.dispatchEvent(new CustomEvent(`sse-notify:${type}`, { detail, bubbles: true, cancelable: true }));
  }
}
