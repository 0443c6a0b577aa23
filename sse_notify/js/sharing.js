/** Whose stream a tab hears: its own, another tab's, or none while nobody looks; and what it does where streams are held back. */

import { createConnection } from "./connection.js";
import { createLeadership } from "./leader.js";
/** @import { ConnectionState } from "./connection.js" */
import { PARK_AFTER, POLL_EVERY, WATCHED } from "./limits.js";
import { readyStateOf } from "./states.js";
import { withQuery } from "./urls.js";

/**
 * @param {object} options
 * @param {string} options.id
 * @param {{stream: string}} options.urls
 * @param {string} options.key
 * @param {string[]} options.topics
 * @param {boolean} options.share
 * @param {typeof globalThis.fetch} options.fetch
 * @param {import("./surroundings.js").Clock} options.clock
 * @param {() => number} options.random
 * @param {import("./surroundings.js").Environment} options.env
 * @param {ReturnType<typeof import("./requests.js").createRequests>} options.requests
 * @param {ReturnType<typeof import("./feed.js").createFeed>} options.feed
 * @param {(type: string, value?: unknown) => void} options.emit
 */
export function createSharing(options) {
  const { id, urls, key, share, clock, env, requests, feed, emit } = options;
  /** @type {ReturnType<typeof createLeadership> | null} */
  let leadership = null;
  /** @type {(() => void)[]} */
  let undo = [];
  let watched = 0; // when a tab that the user sees asked for news
  /** @type {any} */
  let parkTimer;
  /** @type {any} */
  let pollTimer;
  /** @type {any} */
  let restartTimer;
  /** What was asked for later, by each who did. @type {Set<string[]>} */
  const more = new Set();

  const topics = () => [...new Set([options.topics, ...more].flat())];

  const connection = createConnection({
    ...options,
    // The stream of a hidden tab is that of the tabs that are seen, too.
    env: { ...env, visible: () => env.visible() || clock.now() - watched < WATCHED },
    address: () => withQuery(urls.stream, { cursor: feed.cursor, topic: topics(), client: id }),
    onMessage(message) {
      if (feed.receive(message)) leadership?.post({ t: "event", message });
    },
    onState(state) {
      set(state);
      leadership?.post(status());
      // The lock is for a tab that can do something with it: one that was opened after a new login, maybe.
      if (readyStateOf(state) === 2) self.leave(/** @type {any} */ (state));
      else poll();
    },
    onError: (error) => emit("error", error),
    onForbidden(topic) {
      // If the answer names none, it is the newest: without these it went well.
      const refused = topic
        ? [...more].filter((added) => added.includes(topic))
        : [...more].slice(-1);
      for (const added of refused) more.delete(added);
      if (refused.length) restart();
      for (const topics of refused) emit("forbidden", { topics });
      return refused.length > 0;
    },
  });

  const self = {
    /** @type {ConnectionState | "follower"} */
    state: "idle",

    get leading() {
      return leadership?.leading ?? true;
    },

    start() {
      if (undo.length) return;
      undo = [
        () => self.leave("stopped"),
        // A page that is kept for Back must not keep one of the browser's few connections.
        env.on("pagehide", () => self.leave("idle")),
        env.on("pageshow", (event) => event.persisted && open()),
        env.on("visibilitychange", park),
      ];
      open();
    },

    stop() {
      for (const off of undo.splice(0)) off();
    },

    /**
     * Listen to further topics.
     *
     * @param {string[]} added
     * @returns {() => unknown} Ends it; the stream goes on as it is, and asks for less when it is opened again.
     */
    listen(added) {
      const known = topics();
      if (added.length) more.add(added);
      if (undo.length && added.some((topic) => !known.includes(topic))) {
        // Once for all that a page asks for.
        clock.clearTimeout(restartTimer);
        restartTimer = clock.setTimeout(() => hasEnded() || restart(), 0);
      }
      return () => more.delete(added);
    },

    /** @param {"idle" | "stopped" | "unauthorized"} state */
    leave(state) {
      for (const timer of [restartTimer, parkTimer, pollTimer]) clock.clearTimeout(timer);
      feed.stop();
      leadership?.stop();
      leadership = null;
      connection.stop(state);
      set(state);
    },
  };

  /** @param {typeof self.state} state */
  function set(state) {
    if (state === self.state) return;
    self.state = state;
    emit("state", { state, since: clock.now() });
  }

  const status = () => ({ t: "status", state: self.state, cursor: feed.cursor });

  /** Nothing but a new login, or the project, opens it again. */
  const hasEnded = () => readyStateOf(self.state) === 2;

  function restart() {
    self.leave("idle");
    open();
  }

  function open() {
    if (!share || !key || !env.locks) {
      if (env.visible() || !share) connection.start();
      return;
    }
    leadership = createLeadership({
      name: `sse-notify:${key}:${withQuery(urls.stream, { topic: topics().sort() })}`,
      env,
      clock,
      lead() {
        feed.stop(); // our own stream brings it again
        connection.start();
      },
      follow() {
        feed.hold();
        connection.stop("idle");
        set("connecting");
      },
      answer(seen) {
        if (seen) {
          watched = clock.now();
          connection.look();
        }
        return status();
      },
      onMessage: follow,
    });
    leadership.start();
  }

  /** Hear what the leader says. @param {any} said */
  function follow({ t, message, state, cursor }) {
    if (t === "event") return feed.hear(message);
    if (state === "unauthorized") return self.leave(state);
    set(state === "open" || state === "polling" ? "follower" : state);
    // Said before this tab listened: what it missed is fetched. The leader's own stream would not bring it again.
    if (cursor !== null && cursor > (feed.cursor ?? -1)) feed.catchUp();
    else feed.release();
  }

  /** Without locks, which plain HTTP has not, there is no sharing: only pages that can be seen keep a stream. */
  function park() {
    clock.clearTimeout(parkTimer);
    if (!share || leadership || hasEnded()) return;
    if (env.visible()) connection.start();
    else parkTimer = clock.setTimeout(() => connection.stop("idle"), PARK_AFTER);
  }

  /** The stream is held back on its way: ask, until it flows. */
  async function poll() {
    clock.clearTimeout(pollTimer);
    if (!connection.buffered) return;
    await feed.catchUp();
    clock.clearTimeout(pollTimer);
    if (!connection.buffered) return;
    leadership?.post(status()); // the other tabs fetch it too
    pollTimer = clock.setTimeout(poll, Math.max(POLL_EVERY, 1_000 * requests.poll));
  }

  return self;
}
