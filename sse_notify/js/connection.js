/**
 * One stream that stays open: fetched, read, watched, and opened again from the cursor whenever it ends.
 *
 *     connecting ── hello ──> open ── end, error, silence, bye ──> waiting ── backoff, or the server's own hint ──> connecting
 *                └─ 401, 403 ──> unauthorized      └─ end right after the events (WSGI) ──> polling ── retry: ──> ...
 *
 * The browser's EventSource is not used: one 503 or one login page closes it for good, it says no status, waits without jitter, and
 * does not notice a dead peer.
 */

import { createBackoff } from "./backoff.js";
import {
  GIVE_UP_HIDDEN,
  HELLO_WITHIN,
  ONLINE_SPREAD,
  RETRY,
  RETRY_BUFFERED,
  RETRY_HIDDEN,
  SILENCE,
  STABLE_AFTER,
  STREAMS_AFTER,
  WATCH_EVERY,
} from "./limits.js";
import { EventStreamParser } from "./parser.js";
import { checkStream, SseNotifyError } from "./requests.js";

/** @typedef {"idle" | "connecting" | "open" | "waiting" | "polling" | "offline" | "unauthorized" | "stopped"} ConnectionState */

/**
 * @param {object} options
 * @param {() => string} options.address The stream's address, with the cursor to start from.
 * @param {(message: import("./parser.js").Message) => void} options.onMessage May throw: the stream is then opened again.
 * @param {(state: ConnectionState) => void} options.onState
 * @param {(error: Error) => void} options.onError
 * @param {(topic?: string) => boolean} options.onForbidden Returns whether it has asked for less, in a stream of its own.
 * @param {typeof globalThis.fetch} options.fetch
 * @param {import("./surroundings.js").Clock} options.clock
 * @param {() => number} options.random
 * @param {Pick<import("./surroundings.js").Environment, "visible" | "online" | "on">} options.env
 */
export function createConnection({
  address,
  onMessage,
  onState,
  onError,
  onForbidden,
  fetch,
  clock,
  random,
  env,
}) {
  const backoff = createBackoff(random);
  /** @type {AbortController | null} */
  let attempt = null;
  /** @type {any} */
  let retryTimer;
  /** @type {any} */
  let tickTimer;
  /** @type {(() => void)[]} */
  let undo = [];
  let heard = 0; // when the last byte came, or the request went out
  let answered = 0; // when the headers came
  let opened = 0; // when `hello` came
  let silence = SILENCE;
  let retry = RETRY;
  let notBefore = 0; // no earlier try than this: the server said so
  let due = 0; // when the next try is; 0: there is none
  let failing = 0; // since when
  let finite = false; // the server ends its streams: WSGI

  const self = {
    /** @type {ConnectionState} */
    state: "idle",
    /** Whether something on the way holds the stream back, so that its events come late or never. */
    buffered: false,

    start() {
      if (undo.length) return;
      undo = [
        env.on("visibilitychange", () => env.visible() && wake(0)),
        env.on("online", () => wake(random() * ONLINE_SPREAD)), // everybody on this network comes back at once
        env.on("offline", () => self.state === "waiting" && set("offline")),
        () => clock.clearTimeout(tickTimer),
      ];
      tick();
      connect();
    },

    /** @param {ConnectionState} [state] */
    stop(state = "stopped") {
      close();
      self.buffered = finite = false;
      for (const off of undo.splice(0)) off();
      set(state);
    },

    /** Do what is due: timers of a hidden page are late, and one that gave up has none. */
    look() {
      if (due && clock.now() >= due) connect();
      else watch();
    },
  };

  /** @param {ConnectionState} state */
  function set(state) {
    if (state === self.state) return;
    self.state = state;
    onState(state);
  }

  function tick() {
    tickTimer = clock.setTimeout(tick, WATCH_EVERY);
    watch();
  }

  async function connect() {
    close();
    const mine = new AbortController();
    attempt = mine;
    heard = clock.now();
    // navigator.onLine is no reason not to try: without a network it is false, and a server on this machine answers all the same.
    if (!self.buffered && !finite) set("connecting");
    try {
      const response = await fetch(address(), {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: mine.signal,
      });
      await checkStream(response, clock.now());
      if (attempt !== mine) return;
      heard = answered = clock.now();
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      const parser = new EventStreamParser(
        (message) => attempt === mine && take(message), // nothing after a close, even if it was read already
        (ms) => {
          retry = ms;
        },
      );
      for (;;) {
        const { done, value } = await reader.read();
        if (attempt !== mine) return;
        if (done) break;
        heard = clock.now();
        parser.feed(value);
      }
      ended();
    } catch (error) {
      if (attempt === mine) failed(/** @type {Error} */ (error));
    }
  }

  /** @param {import("./parser.js").Message} message */
  function take(message) {
    onMessage(message);
    if (!attempt) return; // stopped by a listener
    const { event, data } = message;
    if (event === "hello") {
      opened = clock.now();
      failing = 0;
      silence = Math.max(SILENCE, 2_500 * (Number(JSON.parse(data).ping) || 0));
      // What held it back may hold back what comes next.
      self.buffered = opened - answered > HELLO_WITHIN;
      if (self.buffered) set("polling");
      else if (!finite) set("open");
    } else if (event === "bye") {
      const { retry_after: wait } = JSON.parse(data);
      if (wait === null) self.stop("unauthorized");
      else again(Number(wait) || 0);
    }
  }

  /** The stream ended as HTTP has it. */
  function ended() {
    if (!opened) return failed(new SseNotifyError("The stream ended."));
    // One that lasted was cut by something in between, which ends it cleanly for us.
    finite = clock.now() - opened < STABLE_AFTER;
    close();
    set(finite ? "polling" : "waiting");
    schedule(env.visible() ? retry : Math.max(retry, RETRY_HIDDEN));
  }

  /** @param {Error & {status?: number, retryAfter?: number | null, topic?: string | undefined}} error */
  function failed(error) {
    const { status = 0, retryAfter = null, topic } = error;
    failing ||= clock.now();
    if ((status === 400 || status === 403) && onForbidden(topic)) return;
    if (status === 401 || status === 403) self.stop("unauthorized");
    else if ([204, 400, 410].includes(status)) self.stop();
    else again(retryAfter);
    onError(error);
  }

  /** @param {number | null} hint */
  function again(hint) {
    const now = clock.now();
    if (opened && now - opened >= STABLE_AFTER) backoff.reset();
    close();
    finite = false;
    const wait = backoff.next(hint);
    notBefore = hint === null ? 0 : now + wait;
    if (!self.buffered) set(env.online() ? "waiting" : "offline");
    schedule(wait);
    if (failing && now - failing > GIVE_UP_HIDDEN && !env.visible()) clock.clearTimeout(retryTimer);
  }

  /** @param {number} ms */
  function schedule(ms) {
    clock.clearTimeout(retryTimer);
    due = clock.now() + ms;
    retryTimer = clock.setTimeout(connect, ms);
  }

  /** Something changed: look whether the stream is alive, or try again now. @param {number} ms */
  function wake(ms) {
    if (attempt) watch();
    else schedule(Math.max(250, ms, notBefore - clock.now()));
  }

  /** Compare the time with what should have happened by now. Timers of hidden pages are late, and sleep is seen only so. */
  function watch() {
    if (!attempt) return;
    const now = clock.now();
    if (now - heard > silence) return failed(new SseNotifyError("The stream is silent."));
    if (!opened) {
      if (!answered || now - answered <= HELLO_WITHIN) return;
      self.buffered = true;
      set("polling");
    } else if (self.buffered && now - opened > RETRY_BUFFERED) again(0);
    else if (finite && now - opened > STREAMS_AFTER) {
      finite = false; // it did not end this time: the server changed
      set("open");
    }
  }

  function close() {
    const old = attempt;
    attempt = null;
    answered = opened = due = 0;
    clock.clearTimeout(retryTimer);
    old?.abort();
  }

  return self;
}
