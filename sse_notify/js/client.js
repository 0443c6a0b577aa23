/**
 * A user's notifications without a page: what arrives, what is unread, what the user did with it. The element is built on this; it also
 * runs alone, in other frameworks and in Node.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { Clock, Environment } from "./surroundings.js" */
/** @import { Message } from "./parser.js" */
import { Connection, SseNotifyError } from "./connection.js";
import { Leadership } from "./leader.js";
import { pageEnvironment, systemClock } from "./surroundings.js";
import { withQuery } from "./urls.js";

const PARK = 10_000; // ms that a hidden page keeps a stream that it cannot share
const PAGE = 100; // items, the most that a page has
const POLL = 5; // s, at least

export class SseNotifyClient {
  /** Names this page in the `update` events that its own marks cause. */
  id = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2); // plain HTTP has no randomUUID
  /** @type {import("./connection.js").ConnectionState | "follower"} */
  state = "idle";
  /** Everything up to here was heard. @type {number | null} */
  cursor;
  counts;
  #o;
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();
  #connection;
  /** @type {Leadership | null} */
  #leadership = null;
  /** @type {(() => void)[]} */
  #off = [];
  /** @type {any[] | null} */
  #held = null; // messages that wait until it is known what was missed
  #token = ""; // a CSRF token, newer than the page's
  /** @type {number | null | undefined} */
  #stateSeq;
  #replayedTo = 0; // where the replay ends
  #countedTo; // the counts include everything up to here
  #catching = false;
  #fresh = new Set(); // ids that are unread and unseen for certain
  #bad = ""; // the last message that made no sense
  /** @type {any} */
  #parkTimer;
  /** @type {any} */
  #pollTimer;
  /** @type {any} */
  #refreshTimer;

  /** @param {Omit<Types.ClientOptions, "env" | "clock"> & {env?: Environment, clock?: Clock}} options */
  constructor(options) {
    this.#o = {
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
    };
    this.cursor = options.cursor ?? null;
    this.counts = { unread: options.unread ?? 0, unseen: options.unseen ?? 0 };
    this.#stateSeq = options.stateSeq;
    this.#countedTo = this.cursor ?? 0;
    this.#connection = new Connection({
      ...this.#o,
      address: () => withQuery(this.#o.urls.stream, { cursor: this.cursor, topic: this.#o.topics, client: this.id }),
      onMessage: (message) => {
        if (this.#receive(message)) this.#leadership?.post({ t: "event", message });
      },
      onState: (state) => {
        this.#set(state);
        this.#leadership?.post(this.#status());
        // The lock is for a tab that can do something with it: one that was opened after a new login, maybe.
        if (state === "unauthorized" || state === "stopped") this.#suspend(state);
        else if (this.#connection.buffered) this.#poll();
      },
      onError: (error) => this.#emit("error", error),
    });
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
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(fn));
    return () => listeners.delete(fn);
  }

  /**
   * Return a page of the inbox, newest first: `{items, next, unread, unseen}`.
   *
   * @param {{before?: number, category?: string, state?: "unread" | "archived", limit?: number}} [query]
   */
  list(query = {}) {
    return this.#ask(withQuery(this.#o.urls.items, query));
  }

  /** @param {number[]} ids */
  markRead(ids) {
    return this.#mark(this.#o.urls.read, { ids });
  }

  /** @param {number[]} ids */
  markUnread(ids) {
    return this.#mark(this.#o.urls.unread, { ids });
  }

  /** Mark as seen all up to a number; what arrives meanwhile is beyond it. @param {number | null} [upTo] */
  markSeen(upTo = this.cursor) {
    return this.#mark(this.#o.urls.seen, { up_to: upTo ?? 0 });
  }

  /** Mark as read all that were heard so far. */
  markAllRead() {
    return this.#mark(this.#o.urls.read, { up_to: this.cursor ?? 0 });
  }

  /** @param {number[]} ids */
  archive(ids) {
    return this.#mark(this.#o.urls.archive, { ids });
  }

  // --- the stream, ours or another tab's ---

  /**
   * @param {string} key
   * @param {Environment} env
   */
  #share(key, env) {
    this.#leadership = new Leadership({
      name: `sse-notify:${key}:${withQuery(this.#o.urls.stream, { topic: [...this.#o.topics].sort() })}`,
      env,
      clock: this.#o.clock,
      lead: () => {
        this.#held = null; // the stream brings it again
        this.#connection.start();
      },
      follow: () => {
        this.#held = [];
        this.#connection.stop("idle");
        this.#set("connecting");
      },
      answer: () => this.#status(),
      onMessage: (message) => this.#follow(message),
    });
    this.#leadership.start();
  }

  #status() {
    return { t: "status", state: this.state, cursor: this.cursor };
  }

  /** Hear what the leader says. @param {any} message */
  #follow(message) {
    if (message.t === "event") {
      if (this.#held) this.#held.push(message.message);
      else this.#hear(message.message);
      return;
    }
    const { state, cursor } = message;
    if (state === "unauthorized") return this.#suspend(state);
    this.#set(["open", "polling"].includes(state) ? "follower" : state);
    // Said before this tab listened: what it missed is fetched. The leader's own stream would not bring it again.
    if (cursor !== null && cursor > (this.cursor ?? -1)) this.#catchUp();
    else this.#release();
  }

  /** @param {"idle" | "stopped" | "unauthorized"} state */
  #suspend(state) {
    const { clock } = this.#o;
    for (const timer of [this.#parkTimer, this.#pollTimer, this.#refreshTimer]) clock.clearTimeout(timer);
    this.#leadership?.stop();
    this.#leadership = null;
    this.#held = null;
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

  // --- what arrives ---

  /**
   * Take one message; return whether it was fit to be passed on.
   *
   * @param {Message} message
   * @throws {SseNotifyError} It makes no sense: the stream is to be opened again before it. If it makes none then either, it is skipped.
   */
  #receive(message) {
    try {
      this.#take(message);
    } catch (error) {
      const bad = `${message.event} ${message.id}`;
      if (bad !== this.#bad) {
        this.#bad = bad;
        throw new SseNotifyError(`The event "${bad}" makes no sense: ${error}`);
      }
      this.#emit("error", /** @type {Error} */ (error));
      return false;
    }
    return true;
  }

  /** @param {Message} message */
  #take(message) {
    const { event, data, id } = message;
    const take = Object.hasOwn(this.#reserved, event) ? this.#reserved[event] : null;
    // A notification has a number; what has none was published to whoever listens now, and is text of any kind.
    if (!take && id === null) return this.#emit("event", message);
    const value = JSON.parse(data);
    if (take) take(value);
    else this.#notification(value, message);
    if (id !== null && event !== "hello" && event !== "reset") this.#advance(Number(id));
  }

  /** @type {Record<string, (value: any) => void>} */
  #reserved = {
    hello: (hello) => {
      this.#whole(hello.cursor, hello.head);
      // Somebody else has signed in meanwhile: this page is not theirs.
      if (hello.key && this.#o.key && hello.key !== this.#o.key) return this.#suspend("unauthorized");
      this.cursor ??= hello.cursor;
      this.#replayedTo = hello.head;
      this.#adopt(hello, hello.head);
    },
    update: (update) => {
      this.#changed(update);
      this.#emit("update", update);
    },
    remove: (remove) => {
      this.#changed(remove);
      this.#emit("remove", remove);
    },
    ping: (ping) => {
      this.#whole(ping.cursor);
      this.#advance(ping.cursor); // all up to there was sent before, on this very connection
    },
    reset: (reset) => {
      this.#whole(reset.cursor);
      this.cursor = this.#countedTo = reset.cursor; // maybe smaller: a backup was restored
      this.#fresh.clear();
      this.#emit("reset", { reason: reset.reason });
      this.refresh();
    },
    bye: () => {},
  };

  /**
   * @param {any} item
   * @param {Message} message
   */
  #notification(item, message) {
    this.#whole(item.id, item.seq);
    if (typeof item.title !== "string" || item.seq !== Number(message.id)) throw new TypeError("not a notification");
    if (item.seq <= (this.cursor ?? -1)) return; // heard before, from another connection
    this.#advance(item.seq); // before the listeners: one that stops the client must find it heard
    this.#deliver(item);
    if (message.event !== "notification") this.#emit("event", message);
  }

  /** @param {any} item */
  #deliver(item) {
    // The server's counts have it already, unless it came after they were taken.
    if (item.seq > this.#countedTo) {
      const { unread, unseen } = this.counts;
      if (item.count === 1) this.#count({ unread: unread + 1, unseen: unseen + 1 });
      else if (!this.#fresh.has(item.id)) this.refresh(); // a repeat: whether it was read before, only the server knows
    }
    if (this.#fresh.size >= 1_000) this.#fresh.clear();
    this.#fresh.add(item.id);
    this.#emit("notification", { ...item, unread: true, unseen: true, replayed: item.seq <= this.#replayedTo });
  }

  /** What an `update` and a `remove` have in common. @param {any} change */
  #changed(change) {
    this.#whole(change.unread, change.unseen);
    this.#fresh.clear();
    this.#stateSeq = Math.max(this.#stateSeq ?? 0, change.state_seq ?? 0);
    this.#count(change);
  }

  /** Take over the server's view: absolute counts, which include everything up to `head`. @param {any} state @param {number} head */
  #adopt(state, head) {
    this.#whole(state.unread, state.unseen);
    this.#countedTo = head;
    this.#count(state);
    const known = this.#stateSeq;
    this.#stateSeq = state.state_seq;
    if (known === undefined || known === state.state_seq) return;
    // Changes were missed, and only the last is replayed.
    this.#fresh.clear();
    this.#emit("reset", { reason: "state" });
  }

  /** Fetch what was missed while no stream of ours brought it. Messages that come meanwhile wait. */
  async #catchUp() {
    if (this.#catching) return;
    this.#catching = true;
    const from = this.cursor;
    this.#held ??= [];
    const held = this.#held;
    try {
      const state = await this.#ask(this.#o.urls.state);
      const page = from !== null && state.cursor > from ? await this.list({ limit: PAGE }) : { items: [], next: null };
      if (this.#held !== held) return; // stopped, or leading now
      /** @type {any[]} */
      const missed = page.items.filter((/** @type {any} */ { seq }) => seq !== null && seq > (from ?? 0) && seq <= state.cursor);
      this.cursor = this.#replayedTo = Math.max(state.cursor, this.cursor ?? 0);
      this.#adopt(state, state.cursor);
      if (page.next !== null && missed.length === page.items.length) this.#emit("reset", { reason: "too_many" });
      else for (const item of missed.sort((a, b) => a.seq - b.seq)) this.#deliver(item);
    } catch (error) {
      // What is held waits on, or the gap would be passed over; the leader's next answer, or the next poll, leads here again.
      this.#emit("error", /** @type {Error} */ (error));
      return;
    } finally {
      this.#catching = false;
    }
    if (this.#held === held) this.#release();
  }

  #release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const message of held) this.#hear(message);
  }

  /** Take what the leader took. @param {Message} message */
  #hear(message) {
    try {
      this.#receive(message);
    } catch (error) {
      this.#emit("error", /** @type {Error} */ (error));
    }
  }

  /** The stream is held back on its way: ask, until it flows. */
  async #poll() {
    const { clock } = this.#o;
    clock.clearTimeout(this.#pollTimer);
    if (!this.#connection.buffered || this.#connection.state !== "polling") return;
    await this.#catchUp();
    this.#pollTimer = clock.setTimeout(() => this.#poll(), 1_000 * Math.max(POLL, this.#pollSeconds));
  }

  #pollSeconds = 0;

  /** Fetch the counts soon, once for all who ask; not all clients at the same moment. */
  refresh() {
    const { clock, random, urls } = this.#o;
    clock.clearTimeout(this.#refreshTimer);
    this.#refreshTimer = clock.setTimeout(
      async () => {
        try {
          const state = await this.#ask(urls.state);
          this.#adopt(state, Math.max(state.cursor, this.#countedTo));
        } catch (error) {
          this.#emit("error", /** @type {Error} */ (error));
        }
      },
      250 + 1_750 * random(),
    );
  }

  // --- requests ---

  /**
   * @param {string} url
   * @param {RequestInit} [options]
   */
  async #ask(url, options = {}) {
    const { fetch, clock } = this.#o;
    const headers = { Accept: "application/json", ...options.headers };
    const response = await fetch(url, { credentials: "same-origin", ...options, headers });
    // A middleware of the project led to its login page.
    if (response.ok && response.redirected) return this.#suspend("unauthorized");
    if (!response.ok) {
      const error = await SseNotifyError.from(response, clock.now());
      if (error.status === 401) this.#suspend("unauthorized");
      throw error;
    }
    const answer = await response.json();
    if (answer.csrf) this.#token = answer.csrf;
    if (answer.poll) this.#pollSeconds = answer.poll;
    return answer;
  }

  /**
   * @param {string} url
   * @param {object} what
   */
  async #mark(url, what) {
    const { csrf, csrfHeader, urls } = this.#o;
    const post = () =>
      this.#ask(url, {
        method: "POST",
        keepalive: true, // the click that marks an item often leaves the page
        headers: { "Content-Type": "application/json", [csrfHeader]: this.#token || csrf() },
        body: JSON.stringify({ ...what, client: this.id }),
      });
    const answer = await post().catch(async (error) => {
      if (error.status !== 403) throw error;
      await this.#ask(urls.state); // the token is of before a login in another tab: this brings a new one
      return post();
    });
    this.#fresh.clear();
    this.#count(answer);
    return answer;
  }

  // --- small things ---

  /** @param {unknown[]} numbers */
  #whole(...numbers) {
    if (!numbers.every((n) => Number.isSafeInteger(n))) throw new TypeError("a whole number is missing");
  }

  /** @param {number} seq */
  #advance(seq) {
    if (seq > (this.cursor ?? -1)) this.cursor = seq;
  }

  /** @param {{unread: number, unseen: number}} counts */
  #count({ unread, unseen }) {
    if (unread === this.counts.unread && unseen === this.counts.unseen) return;
    this.counts = { unread, unseen };
    this.#emit("counts", this.counts);
  }

  /** @param {SseNotifyClient["state"]} state */
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#emit("state", { state, since: this.#o.clock.now() });
  }

  /**
   * @param {string} type
   * @param {unknown} value
   */
  #emit(type, value) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(value);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
