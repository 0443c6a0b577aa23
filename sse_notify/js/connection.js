/**
 * One stream that stays open: fetched, read, watched, and opened again from the cursor when it
 * ends.
 *
 *     connecting ── hello ──> open ── end, error, silence, bye ──> waiting ── backoff ──> ...
 *                ├─ 401, 403 ──> unauthorized
 *                └─ the server ends its stream after the events (WSGI) ──> polling ──> ...
 *
 * The browser's EventSource alone would not do: one 503 or one login page closes it for good, it
 * tells no status, waits without jitter, and does not notice a dead peer.
 */

/** @import { Clock, Environment } from "./environment.js" */
/** @import { Message } from "./parser.js" */
import { createBackoff } from "./backoff.js";
import {
  GIVE_UP_HIDDEN,
  HELLO_WITHIN,
  ONLINE_SPREAD,
  RETRY,
  RETRY_BUFFERED,
  RETRY_HIDDEN,
  RETRY_MIN,
  SILENCE,
  STABLE_AFTER,
  STREAMS_AFTER,
  WATCH_EVERY,
} from "./limits.js";
import { EventStreamParser } from "./parser.js";
import { checkStream, SseNotifyError } from "./requests.js";

/**
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "polling" | "offline" | "unauthorized"
 *   | "stopped"} ConnectionState
 */

/**
 * @param {object} options
 * @param {() => string} options.getAddress
 *   Returns the stream's address, with the cursor to start from.
 * @param {(message: Message) => void} options.onMessage
 * @param {(state: ConnectionState) => void} options.onState
 * @param {(error: Error & {eventId?: string | null}) => void} options.onError
 *   The error of an event that is too large has its id.
 * @param {(topic?: string) => boolean} options.onForbidden Returns whether it opens another stream,
 *   for fewer topics.
 * @param {typeof globalThis.fetch} options.fetch
 * @param {Clock} options.clock
 * @param {() => number} options.random
 * @param {Pick<Environment, "visible" | "online" | "on">} options.env
 */
export function createConnection({
  getAddress,
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
  /** The request or stream that is open. @type {AbortController | null} */
  let attempt = null;
  /** @type {any} */
  let retryTimer;
  /** @type {any} */
  let watchTimer;
  /** @type {(() => void)[]} */
  let undo = [];
  // Times, in milliseconds since 1970; 0 if it did not happen.
  let heard = 0; // when the last byte came, or the request went out
  let asked = 0; // when the request went out
  let opened = 0; // when `hello` came
  let due = 0; // when the next attempt begins
  let notBefore = 0; // the server asked to wait until then
  let failing = 0; // since when every attempt fails
  // Durations, in milliseconds.
  let silence = SILENCE;
  let retry = RETRY;
  let finite = false; // whether the server ends its streams, as under WSGI

  const self = {
    /** @type {ConnectionState} */
    state: "idle",
    /** Whether a proxy buffers the stream, so that its events come late or never. */
    buffered: false,
    /** The HTTP status of the last answer, if the last attempt failed; 0 without an answer. */
    status: 0,

    start() {
      if (undo.length) return;
      undo = [
        env.on("visibilitychange", () => env.visible() && wake(0)),
        env.on("online", () => wake(random() * ONLINE_SPREAD)),
        env.on("offline", () => self.state === "waiting" && setState("offline")),
        () => clock.clearTimeout(watchTimer),
      ];
      keepWatch();
      connect();
    },

    /** @param {ConnectionState} [state] */
    stop(state = "stopped") {
      close();
      self.buffered = finite = false;
      for (const off of undo.splice(0)) off();
      setState(state);
    },

    /**
     * Do what is due. Timers of a hidden page are late, and a hidden page that gave up has none: a
     * visible tab that uses its stream calls this.
     */
    check() {
      if (due && clock.now() >= due) connect();
      else watch();
    },
  };

  /** @param {ConnectionState} state */
  function setState(state) {
    if (state === self.state) return;
    self.state = state;
    onState(state);
  }

  function keepWatch() {
    watchTimer = clock.setTimeout(keepWatch, WATCH_EVERY);
    watch();
  }

  async function connect() {
    close();
    const mine = new AbortController();
    attempt = mine;
    heard = asked = clock.now();
    // Even if navigator.onLine is false: a server on this machine answers without a network.
    if (!self.buffered && !finite) setState("connecting");
    try {
      const response = await fetch(getAddress(), {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: mine.signal,
      });
      await checkStream(response, clock.now());
      if (attempt !== mine) return;
      heard = clock.now();
      self.status = 0;
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      const parser = new EventStreamParser(
        (message) => attempt === mine && receive(message), // one chunk may go on after a close
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
      end();
    } catch (error) {
      if (attempt === mine) fail(/** @type {Error} */ (error));
    }
  }

  /** @param {Message} message */
  function receive(message) {
    onMessage(message);
    if (!attempt) return; // a listener stopped the client
    const { event, data } = message;
    if (event === "hello") {
      opened = clock.now();
      failing = 0;
      silence = Math.max(SILENCE, 2_500 * JSON.parse(data).ping || 0); // 2.5 pings
      // What delayed `hello` may delay the rest.
      self.buffered = opened - asked > HELLO_WITHIN;
      if (self.buffered) setState("polling");
      else if (!finite) setState("open");
    } else if (event === "bye") {
      const wait = JSON.parse(data).retry_after;
      if (wait === null) self.stop("unauthorized");
      else retryLater(Number(wait) || 0);
    }
  }

  /** Go on after the answer ended as HTTP says. */
  function end() {
    if (!opened) return fail(new SseNotifyError("The stream ended."));
    // If the stream lasted, a proxy has cut it.
    finite = clock.now() - opened < STABLE_AFTER;
    close();
    setState(finite ? "polling" : "waiting");
    schedule(env.visible() ? retry : Math.max(retry, RETRY_HIDDEN));
  }

  /** @param {Error & Partial<Pick<SseNotifyError, "status" | "retryAfter" | "topic">>} error */
  function fail(error) {
    const { status = 0, retryAfter = null, topic } = error;
    failing ||= clock.now();
    if ((status === 400 || status === 403) && onForbidden(topic)) return;
    self.status = status;
    if (status === 401 || status === 403) self.stop("unauthorized");
    else if ([204, 400, 410].includes(status)) self.stop();
    else retryLater(retryAfter);
    onError(error);
  }

  /** @param {number | null} hint What the server asked for, in milliseconds. */
  function retryLater(hint) {
    const now = clock.now();
    if (opened && now - opened >= STABLE_AFTER) backoff.reset();
    close();
    finite = false;
    const wait = backoff.next(hint);
    notBefore = hint === null ? 0 : now + wait;
    if (!self.buffered) setState(env.online() ? "waiting" : "offline");
    schedule(wait);
    if (failing && now - failing > GIVE_UP_HIDDEN && !env.visible()) clock.clearTimeout(retryTimer);
  }

  /** @param {number} ms */
  function schedule(ms) {
    clock.clearTimeout(retryTimer);
    due = clock.now() + ms;
    retryTimer = clock.setTimeout(connect, ms);
  }

  /** Something changed: see whether the stream is alive, or connect soon. @param {number} ms */
  function wake(ms) {
    if (attempt) watch();
    else schedule(Math.max(RETRY_MIN, ms, notBefore - clock.now()));
  }

  /**
   * Compare the clock with what should have happened by now. Only this notices that the machine
   * slept, and timers of hidden pages are late.
   */
  function watch() {
    if (!attempt) return;
    const now = clock.now();
    if (now - heard > silence) return fail(new SseNotifyError("The stream ended."));
    if (!opened) {
      // Since the request: in Firefox, an answer comes with the first byte of its body.
      if (now - asked <= HELLO_WITHIN) return;
      self.buffered = true;
      setState("polling");
    } else if (self.buffered && now - opened > RETRY_BUFFERED) retryLater(0);
    else if (finite && now - opened > STREAMS_AFTER) {
      finite = false; // the server changed: it did not end this stream
      setState("open");
    }
  }

  function close() {
    const old = attempt;
    attempt = null;
    opened = due = 0;
    clock.clearTimeout(retryTimer);
    old?.abort();
  }

  return self;
}
