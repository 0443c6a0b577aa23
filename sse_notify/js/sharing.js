/**
 * Whose stream a tab uses: its own, another tab's, or none while nobody looks. Where a proxy
 * buffers streams, it polls.
 */

/** @import { ConnectionState } from "./connection.js" */
/** @import { Clock, Environment } from "./environment.js" */
import { createConnection } from "./connection.js";
import { createLeadership } from "./leader.js";
import { PARK_AFTER, POLL_EVERY, WATCHED } from "./limits.js";
import { readyStateOf } from "./states.js";
import { withQuery } from "./urls.js";

/**
 * @param {object} options
 * @param {string} options.id
 * @param {{stream: string}} options.urls
 * @param {string} [options.key]
 * @param {string[]} options.topics
 * @param {boolean} options.share
 * @param {typeof globalThis.fetch} options.fetch
 * @param {Clock} options.clock
 * @param {() => number} options.random
 * @param {Environment} options.env
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
  let watched = 0; // when a visible tab asked this one last
  /** @type {any} */
  let parkTimer;
  /** @type {any} */
  let pollTimer;
  /** @type {any} */
  let restartTimer;
  /** The topics that were asked for later, by each who did. @type {Set<string[]>} */
  const more = new Set();

  const topics = () => [...new Set([options.topics, ...more].flat())];

  const connection = createConnection({
    ...options,
    // The stream of a hidden tab serves the visible tabs, too.
    env: { ...env, visible: () => env.visible() || clock.now() - watched < WATCHED },
    getAddress: () => withQuery(urls.stream, { cursor: feed.cursor, topic: topics(), client: id }),
    onMessage(message) {
      if (feed.receive(message)) leadership?.relay({ t: "event", message });
    },
    onState(state) {
      setState(state);
      leadership?.relay(status());
      // Give the lock to a tab that can use it, such as one that was opened after a new login.
      if (hasEnded()) self.close(/** @type {any} */ (state));
      else poll();
    },
    onError: feed.fail,
    onForbidden(topic) {
      // An answer without a topic means the newest: the server accepted the others before.
      const refused = topic
        ? [...more].filter((added) => added.includes(topic))
        : [...more].slice(-1);
      for (const added of refused) more.delete(added);
      if (!refused.length) return false;
      restart();
      for (const topics of refused) emit("forbidden", { topics });
      return true;
    },
  });

  const self = {
    /** @type {ConnectionState | "follower"} */
    state: "idle",

    get leads() {
      return leadership?.leads ?? true;
    },

    start() {
      if (undo.length) return;
      undo = [
        () => self.close("stopped"),
        // A page that is kept for Back must not keep one of the browser's few connections.
        env.on("pagehide", () => self.close("idle")),
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
     * @returns {() => unknown} Ends it. The stream goes on, and is opened without them the next
     *   time.
     */
    listen(added) {
      const known = topics();
      if (added.length) more.add(added);
      if (undo.length && added.some((topic) => !known.includes(topic))) {
        // Open one new stream for all topics that a page asks for at once.
        clock.clearTimeout(restartTimer);
        restartTimer = clock.setTimeout(() => hasEnded() || restart(), 0);
      }
      return () => more.delete(added);
    },

    /** @param {"idle" | "stopped" | "unauthorized"} state */
    close(state) {
      [restartTimer, parkTimer, pollTimer].forEach(clock.clearTimeout);
      feed.stop();
      leadership?.stop();
      leadership = null;
      connection.stop(state);
      setState(state);
    },
  };

  /** @param {typeof self.state} state */
  function setState(state) {
    if (state === self.state) return;
    self.state = state;
    emit("state", { state, since: clock.now(), status: connection.status });
  }

  /** What the other tabs are told when it changes, and when they ask. */
  const status = () => ({
    state: self.state,
    cursor: feed.cursor,
    status: connection.status,
  });

  /** Whether only a new login, or the project, opens a stream again. */
  const hasEnded = () => readyStateOf(self.state) === 2;

  function restart() {
    self.close("idle");
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
        feed.stop(); // this tab's own stream brings what was missed
        connection.start();
      },
      follow() {
        feed.hold();
        connection.stop("idle");
        setState("connecting");
      },
      answer(visible) {
        if (visible) {
          watched = clock.now();
          connection.check();
        }
        return status();
      },
      onMessage: receive,
    });
    leadership.start();
  }

  /** Handle a message of the leader. @param {any} message */
  function receive({ t, message, state, cursor, status }) {
    if (t === "event") return feed.relay(message);
    connection.status = status;
    if (state === "unauthorized") return self.close(state);
    setState(readyStateOf(state) === 1 ? "follower" : state);
    // The leader's stream does not repeat what it brought before this tab listened.
    if (cursor !== null && cursor > (feed.cursor ?? -1)) feed.catchUp();
    else feed.release();
  }

  /** Without locks, which plain HTTP lacks, tabs cannot share: only visible pages keep a stream. */
  function park() {
    clock.clearTimeout(parkTimer);
    if (!share || leadership || hasEnded()) return;
    if (env.visible()) connection.start();
    else parkTimer = clock.setTimeout(() => connection.stop("idle"), PARK_AFTER);
  }

  /** Fetch at intervals what a buffered stream does not bring. */
  async function poll() {
    clock.clearTimeout(pollTimer);
    if (!connection.buffered) return;
    await feed.catchUp();
    clock.clearTimeout(pollTimer);
    if (!connection.buffered) return;
    leadership?.relay(status()); // so that the other tabs fetch it too
    pollTimer = clock.setTimeout(poll, Math.max(POLL_EVERY, 1_000 * requests.poll || 0));
  }

  return self;
}
