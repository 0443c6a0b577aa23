/**
 * A user's notifications without a page: what arrives, what is unread, what the user did with it. The element is built on this; it also
 * runs alone, in other frameworks and in Node.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { Clock, Environment } from "./surroundings.js" */
import { createConnection } from "./connection.js";
import { createEmitter } from "./emitter.js";
import { createFeed } from "./feed.js";
import { createLeadership } from "./leader.js";
import { createRequests } from "./requests.js";
import { pageEnvironment, systemClock } from "./surroundings.js";
import { withQuery } from "./urls.js";

const PARK = 10_000; // ms that a hidden page keeps a stream that it cannot share
const POLL = 5; // s, at least
const WATCHED = 20_000; // ms after a tab that is seen asked, which each does every ten seconds

export class SseNotifyClient {
  /** Names this page in the `update` events that its own marks cause. */
  id = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2); // plain HTTP has no randomUUID
  /** @type {import("./connection.js").ConnectionState | "follower"} */
  state = "idle";
  #o;
  #emitter = createEmitter();
  #requests;
  #feed;
  #connection;
  /** @type {ReturnType<typeof createLeadership> | null} */
  #leadership = null;
  /** @type {(() => void)[]} */
  #off = [];
  #watched = 0; // when a tab that the user sees asked for news
  /** @type {any} */
  #parkTimer;
  /** @type {any} */
  #pollTimer;

  /** @param {Omit<Types.ClientOptions, "env" | "clock"> & {env?: Environment, clock?: Clock}} options */
  constructor(options) {
    const o = {
      key: "",
      csrf: () => "",
      csrfHeader: "X-CSRFToken",
      topics: /** @type {string[]} */ ([]),
      share: true,
      // Bound, as a browser's fetch refuses to be called as a method of anything else.
      fetch: globalThis.fetch?.bind(globalThis),
      clock: systemClock,
      random: Math.random,
      env: pageEnvironment(),
      ...options,
      onSignedOut: () => this.#suspend("unauthorized"),
    };
    this.#o = o;
    const { emit } = this.#emitter;
    this.#requests = createRequests(o);
    this.#feed = createFeed({ ...o, id: this.id, items: o.urls.items, requests: this.#requests, emit });
    this.#connection = createConnection({
      ...o,
      // The stream of a hidden tab is that of the tabs that are seen, too.
      env: { ...o.env, visible: () => o.env.visible() || o.clock.now() - this.#watched < WATCHED },
      address: () => withQuery(o.urls.stream, { cursor: this.cursor, topic: o.topics, client: this.id }),
      onMessage: (message) => {
        if (this.#feed.receive(message)) this.#leadership?.post({ t: "event", message });
      },
      onState: (state) => {
        this.#set(state);
        this.#leadership?.post(this.#status());
        // The lock is for a tab that can do something with it: one that was opened after a new login, maybe.
        if (state === "unauthorized" || state === "stopped") this.#suspend(state);
        else if (this.#connection.buffered) this.#poll();
      },
      onError: (error) => emit("error", error),
    });
  }

  /** Everything up to here was heard. @type {number | null} */
  get cursor() {
    return this.#feed.cursor;
  }

  get counts() {
    return this.#feed.counts.value;
  }

  /** Whether this tab has the stream: true in one tab of a browser, and in each where they cannot share. */
  get leading() {
    return this.#leadership?.leading ?? true;
  }

  /** Open the stream, or share that of another tab. Does nothing if it is started. */
  start() {
    if (this.#off.length) return;
    const { env } = this.#o;
    this.#off.push(() => this.#suspend("stopped"));
    // A page that is kept for Back must not keep one of the browser's few connections.
    this.#off.push(env.on("pagehide", () => this.#suspend("idle")));
    this.#off.push(env.on("pageshow", (event) => event.persisted && this.#open()));
    this.#off.push(env.on("visibilitychange", () => this.#park()));
    this.#open();
  }

  #open() {
    const { env, share, key } = this.#o;
    if (share && key && env.locks) this.#share(key, env);
    else if (env.visible() || !share) this.#connection.start();
  }

  /** Close the stream. `start()` goes on from where it was. */
  stop() {
    for (const off of this.#off.splice(0)) off();
  }

  /**
   * Call `fn` for each event of a type; what is thrown there harms nobody else.
   *
   * @template {keyof Types.ClientEvents} Type
   * @param {Type} type
   * @param {(value: Types.ClientEvents[Type]) => void} fn
   * @returns {() => void} Stops it.
   */
  on(type, fn) {
    return this.#emitter.on(type, fn);
  }

  /**
   * Return a page of the inbox, newest first: `{items, next, unread, unseen}`.
   *
   * @param {{before?: number, category?: string, state?: "unread" | "archived", limit?: number}} [query]
   */
  list(query = {}) {
    return this.#requests.ask(withQuery(this.#o.urls.items, query));
  }

  /** @param {number[]} ids */
  markRead(ids) {
    return this.#mark("read", { ids });
  }

  /** @param {number[]} ids */
  markUnread(ids) {
    return this.#mark("unread", { ids });
  }

  /** Mark as seen all up to a number; what arrives meanwhile is beyond it. @param {number | null} [upTo] */
  markSeen(upTo = this.cursor) {
    return this.#mark("seen", { up_to: upTo ?? 0 });
  }

  /** Mark as read all that were heard so far. */
  markAllRead() {
    return this.#mark("read", { up_to: this.cursor ?? 0 });
  }

  /** @param {number[]} ids */
  archive(ids) {
    return this.#mark("archive", { ids });
  }

  /** Take items back from the archive. @param {number[]} ids */
  unarchive(ids) {
    return this.#mark("unarchive", { ids });
  }

  /** Fetch the counts soon, once for all who ask. */
  refresh() {
    this.#feed.refresh();
  }

  /**
   * @param {"read" | "unread" | "seen" | "archive" | "unarchive"} what
   * @param {object} which
   */
  #mark(what, which) {
    return this.#feed.counts.mark(this.#requests.post(this.#o.urls[what], { ...which, client: this.id }));
  }

  // --- the stream, ours or another tab's ---

  /**
   * @param {string} key
   * @param {Environment} env
   */
  #share(key, env) {
    this.#leadership = createLeadership({
      name: `sse-notify:${key}:${withQuery(this.#o.urls.stream, { topic: [...this.#o.topics].sort() })}`,
      env,
      clock: this.#o.clock,
      lead: () => {
        this.#feed.drop(); // the stream brings it again
        this.#connection.start();
      },
      follow: () => {
        this.#feed.hold();
        this.#connection.stop("idle");
        this.#set("connecting");
      },
      answer: (seen) => {
        if (seen) {
          this.#watched = this.#o.clock.now();
          this.#connection.look();
        }
        return this.#status();
      },
      onMessage: (message) => this.#follow(message),
    });
    this.#leadership.start();
  }

  #status() {
    return { t: "status", state: this.state, cursor: this.cursor };
  }

  /** Hear what the leader says. @param {any} message */
  #follow({ t, message, state, cursor }) {
    if (t === "event") return this.#feed.hear(message);
    if (state === "unauthorized") return this.#suspend(state);
    this.#set(["open", "polling"].includes(state) ? "follower" : state);
    // Said before this tab listened: what it missed is fetched. The leader's own stream would not bring it again.
    if (cursor !== null && cursor > (this.cursor ?? -1)) this.#feed.catchUp();
    else this.#feed.release();
  }

  /** @param {"idle" | "stopped" | "unauthorized"} state */
  #suspend(state) {
    const { clock } = this.#o;
    clock.clearTimeout(this.#parkTimer);
    clock.clearTimeout(this.#pollTimer);
    this.#feed.stop();
    this.#leadership?.stop();
    this.#leadership = null;
    this.#connection.stop(state);
    this.#set(state);
  }

  /** Without locks, which plain HTTP has not, there is no sharing: only pages that can be seen keep a stream. */
  #park() {
    const { clock, env, share } = this.#o;
    clock.clearTimeout(this.#parkTimer);
    if (!share || this.#leadership || this.state === "unauthorized" || this.state === "stopped") return;
    if (env.visible()) this.#connection.start();
    else this.#parkTimer = clock.setTimeout(() => this.#connection.stop("idle"), PARK);
  }

  /** The stream is held back on its way: ask, until it flows. */
  async #poll() {
    const { clock } = this.#o;
    clock.clearTimeout(this.#pollTimer);
    if (!this.#connection.buffered || this.#connection.state !== "polling") return;
    await this.#feed.catchUp();
    clock.clearTimeout(this.#pollTimer);
    if (this.#connection.state !== "polling") return;
    this.#leadership?.post(this.#status()); // the other tabs fetch it too
    this.#pollTimer = clock.setTimeout(() => this.#poll(), 1_000 * Math.max(POLL, this.#requests.poll));
  }

  /** @param {SseNotifyClient["state"]} state */
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#emitter.emit("state", { state, since: this.#o.clock.now() });
  }
}
