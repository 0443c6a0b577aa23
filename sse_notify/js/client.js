/**
 * A user's notifications without a page: what arrives, what is unread, what the user did with it. The element is built on this; it also
 * runs alone, in other frameworks and in Node.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { Clock, Environment } from "./surroundings.js" */
import { createEmitter } from "./emitter.js";
import { createFeed } from "./feed.js";
import { createRequests } from "./requests.js";
import { createSharing } from "./sharing.js";
import { SseNotifyEventSource } from "./source.js";
import { pageEnvironment, systemClock } from "./surroundings.js";
import { withQuery } from "./urls.js";

export class SseNotifyClient {
  /** Names this page in the `update` events that its own marks cause. */
  id = globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36).slice(2); // plain HTTP has no randomUUID
  /**
   * Call `fn` for each event of a type; what is thrown there harms nobody else. Returns what stops it.
   *
   * @type {<Type extends keyof Types.ClientEvents>(type: Type, fn: (value: Types.ClientEvents[Type]) => void) => () => void}
   */
  on;
  #urls;
  #requests;
  #feed;
  #sharing;

  /** @param {Omit<Types.ClientOptions, "env" | "clock"> & {env?: Environment, clock?: Clock}} options */
  constructor(options) {
    const { on, emit } = createEmitter();
    const all = {
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
      id: this.id,
      emit,
      onSignedOut: () => this.#sharing.leave("unauthorized"),
    };
    this.on = on;
    this.#urls = all.urls;
    const requests = createRequests(all);
    const feed = createFeed({ ...all, items: all.urls.items, requests });
    this.#requests = requests;
    this.#feed = feed;
    this.#sharing = createSharing({ ...all, requests, newsFeed: feed });
  }

  get state() {
    return this.#sharing.state;
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
    return this.#sharing.leading;
  }

  /** Open the stream, or share that of another tab. Does nothing if it is started. */
  start() {
    this.#sharing.start();
  }

  /** Close the stream. `start()` goes on from where it was. */
  stop() {
    this.#sharing.stop();
  }

  /**
   * Return a page of the inbox, newest first: `{items, next, unread, unseen}`.
   *
   * @param {{before?: number | string, category?: string, state?: "unread" | "archived", limit?: number}} [query]
   */
  list(query = {}) {
    return this.#requests.ask(withQuery(this.#urls.items, query));
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

  /**
   * Return what stands in for an EventSource: it is fed by this client's stream, which listens to the topics as well from now on.
   *
   * @param {string[]} topics
   */
  eventSource(...topics) {
    const release = this.#sharing.listenTo(topics);
    this.start();
    return new SseNotifyEventSource(
      this,
      withQuery(this.#urls.stream, { topic: topics }),
      topics,
      release,
    );
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
    return this.#feed.counts.mark(
      this.#requests.post(this.#urls[what], { ...which, client: this.id }),
    );
  }
}
