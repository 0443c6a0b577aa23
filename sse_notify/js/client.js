/**
 * A user's notifications without a page: what arrives, what is unread, what the user did with it.
 * The element is built on this class, which also runs alone, in other frameworks and in Node.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { Clock, Environment } from "./environment.js" */
import { createEmitter } from "./emitter.js";
import { pageEnvironment, systemClock } from "./environment.js";
import { createFeed } from "./feed.js";
import { loadEventSource } from "./loading.js";
import { createRequests } from "./requests.js";
import { createSharing } from "./sharing.js";
import { SseNotifyEventSource } from "./source.js";
import { withQuery } from "./urls.js";

export class SseNotifyClient {
  /** Names this page in the `update` events that its own marks cause. */
  id = Math.random().toString(36).slice(2);
  /**
   * Call `fn` for each event of a type. An error that it throws harms no other listener. Returns a
   * function that ends it.
   *
   * @type {<Type extends keyof Types.ClientEvents>(type: Type, fn: (value:
   *   Types.ClientEvents[Type]) => void) => () => void}
   */
  on;
  #urls;
  #requests;
  #feed;
  #sharing;

  /**
   * @param {Omit<Types.ClientOptions, "clock"> & {env?: Environment, clock?: Clock}}
   *   options
   */
  constructor(options) {
    const { on, emit } = createEmitter();
    const all = {
      csrf: () => "",
      csrfHeader: "X-CSRFToken",
      topics: /** @type {string[]} */ ([]),
      share: true,
      clock: systemClock,
      random: Math.random,
      env: pageEnvironment(),
      ...options,
      /** A redirect must not take the CSRF token to another origin. @type {typeof fetch} */
      fetch: (url, init) => (options.fetch ?? fetch)(url, { mode: "same-origin", ...init }),
      id: this.id,
      emit,
      onSignedOut: () => this.#sharing.close("unauthorized"),
    };
    this.on = on;
    this.#urls = all.urls;
    this.#requests = createRequests(all);
    this.#feed = createFeed({ ...all, requests: this.#requests });
    // A body that is no stream: `fetch` cannot stream either.
    const { fetch: ask } = all;
    if (all.transport === "eventsource" || !new Response("").body)
      all.fetch = async (url, init) =>
        (await loadEventSource(all.eventSource)).open(/** @type {any} */ (url), init, ask);
    this.#sharing = createSharing({ ...all, requests: this.#requests, feed: this.#feed });
  }

  get state() {
    return this.#sharing.state;
  }

  /** Everything up to here has arrived. @type {number | null} */
  get cursor() {
    return this.#feed.cursor;
  }

  get counts() {
    return this.#feed.counts.value;
  }

  /**
   * Whether this tab has the stream: true in one tab of a browser, and in each where tabs cannot
   * share.
   */
  get leading() {
    return this.#sharing.leads;
  }

  /** Open the stream, or share that of another tab. Does nothing if the client is started. */
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
   * @param {{before?: number | string, category?: string, state?: "unread" | "archived",
   *   limit?: number}} [query]
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

  /**
   * Mark everything up to a number as seen, and not what arrives meanwhile.
   *
   * @param {number | null} [upTo]
   */
  markSeen(upTo = this.cursor) {
    return this.#mark("seen", { up_to: upTo ?? 0 });
  }

  /** Mark everything that has arrived as read. */
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
   * Return an EventSource that this client's stream feeds. The stream listens to its topics as well
   * from now on.
   *
   * @param {string[]} topics
   */
  eventSource(...topics) {
    const release = this.#sharing.listen(topics);
    this.start();
    return new SseNotifyEventSource(
      this,
      withQuery(this.#urls.stream, { topic: topics }),
      topics,
      release,
    );
  }

  /** Fetch the counts soon, with one request for all who ask. */
  refresh() {
    this.#feed.refresh();
  }

  /**
   * @param {"read" | "unread" | "seen" | "archive" | "unarchive"} what
   * @param {object} which
   */
  #mark(what, which) {
    return this.#feed.counts.settle(
      this.#requests.send(this.#urls[what], { ...which, client: this.id }),
    );
  }
}
