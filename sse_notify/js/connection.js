/**
 * One stream that stays open: fetched, read, watched, and opened again from the cursor whenever it ends.
 *
 *     connecting ── hello ──> open ── end, error, silence, bye ──> waiting ── backoff, or the server's own hint ──> connecting
 *                └─ 401, 403 ──> unauthorized      └─ end right after the events (WSGI) ──> polling ── retry: ──> ...
 *
 * The browser's EventSource is not used: one 503 or one login page closes it for good, it says no status, waits without jitter, and
 * does not notice a dead peer.
 */

import { Backoff } from "./backoff.js";
import { EventStreamParser } from "./parser.js";
import { SseNotifyError, signedOut } from "./requests.js";

const TICK = 5_000; // ms between two looks at the clock
const SILENCE = 45_000; // ms without a byte, at least, before a connection counts as dead
const HELLO_WITHIN = 10_000; // ms after the headers; later means that something on the way holds the bytes back
const STABLE = 30_000; // ms that a connection must have lasted for the backoff to start over
const GIVE_UP_HIDDEN = 600_000; // ms of failing in a hidden page; it tries again when it is seen
const RETRY = 3_000; // ms, if the server names none
const TRY_AGAIN = 60_000; // ms after which a stream that was held back is replaced by one that maybe is not

/** @typedef {"idle" | "connecting" | "open" | "waiting" | "polling" | "offline" | "unauthorized" | "stopped"} ConnectionState */

export class Connection {
  /** @type {ConnectionState} */
  state = "idle";
  /** Whether something on the way holds the stream back, so that its events come late or never. */
  buffered = false;
  #o;
  #backoff;
  /** @type {AbortController | null} */
  #attempt = null;
  /** @type {any} */
  #retryTimer = null;
  /** @type {any} */
  #tickTimer = null;
  /** @type {(() => void)[]} */
  #off = [];
  #heard = 0; // when the last byte came, or the request went out
  #answered = 0; // when the headers came
  #opened = 0; // when `hello` came
  #silence = SILENCE;
  #retry = RETRY;
  #notBefore = 0; // no earlier try than this: the server said so
  #due = 0; // when the next try is; 0: there is none
  #failing = 0; // since when
  #finite = false; // the server's streams end: WSGI

  /**
   * @param {object} options
   * @param {() => string} options.address The stream's address, with the cursor to start from.
   * @param {(message: import("./parser.js").Message) => void} options.onMessage May throw: the stream is then opened again.
   * @param {(state: ConnectionState) => void} options.onState
   * @param {(error: Error) => void} options.onError
   * @param {typeof globalThis.fetch} options.fetch
   * @param {import("./surroundings.js").Clock} options.clock
   * @param {() => number} options.random
   * @param {import("./surroundings.js").Environment} options.env
   */
  constructor(options) {
    this.#o = options;
    this.#backoff = new Backoff(options.random);
  }

  start() {
    if (this.#off.length) return;
    const { env, clock, random } = this.#o;
    const wake = () => env.visible() && this.#wake(0);
    this.#off = [
      env.on("visibilitychange", wake),
      env.on("resume", wake),
      env.on("online", () => this.#wake(random() * 2_000)), // everybody on this network comes back at once
      env.on("offline", () => this.state === "waiting" && this.#set("offline")),
    ];
    const tick = () => {
      this.#tickTimer = clock.setTimeout(tick, TICK);
      this.#look();
    };
    this.#tickTimer = clock.setTimeout(tick, TICK);
    this.#connect();
  }

  /** @param {ConnectionState} [state] */
  stop(state = "stopped") {
    this.#close();
    this.buffered = this.#finite = false;
    this.#o.clock.clearTimeout(this.#tickTimer);
    for (const off of this.#off.splice(0)) off();
    this.#set(state);
  }

  async #connect() {
    const { address, fetch, clock } = this.#o;
    this.#close();
    const attempt = new AbortController();
    this.#attempt = attempt;
    this.#heard = clock.now();
    // navigator.onLine is no reason not to try: without a network it is false, and a server on this machine answers all the same.
    if (!this.buffered && !this.#finite) this.#set("connecting");
    try {
      const response = await fetch(address(), {
        headers: { Accept: "text/event-stream" },
        credentials: "same-origin",
        cache: "no-store",
        signal: attempt.signal,
      });
      if (this.#attempt !== attempt) return;
      await this.#check(response);
      if (this.#attempt !== attempt || !response.body) return;
      this.#heard = this.#answered = clock.now();
      const reader = response.body.getReader();
      const parser = new EventStreamParser(
        (message) => this.#attempt === attempt && this.#message(message), // nothing after a close, even if it was read already
        (ms) => {
          this.#retry = ms;
        },
      );
      for (;;) {
        const { done, value } = await reader.read();
        if (this.#attempt !== attempt) return;
        if (done) break;
        this.#heard = clock.now();
        parser.feed(value);
      }
      this.#ended();
    } catch (error) {
      if (this.#attempt === attempt) this.#failed(/** @type {Error} */ (error));
    }
  }

  /** @param {Response} response */
  async #check(response) {
    const isStream = (response.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
    if (response.status === 200 && isStream) return;
    // A middleware of the project led us to its login page.
    if (response.ok && response.redirected) throw signedOut();
    if (response.ok)
      throw new SseNotifyError("The answer is not an event stream.", { status: response.status === 204 ? 204 : 0 });
    throw await SseNotifyError.from(response, this.#o.clock.now());
  }

  /** @param {import("./parser.js").Message} message */
  #message(message) {
    const { clock, onMessage } = this.#o;
    onMessage(message);
    if (!this.#attempt) return; // stopped by a listener
    if (message.event === "hello") {
      this.#opened = clock.now();
      this.#failing = 0;
      this.#silence = Math.max(SILENCE, 2_500 * (Number(JSON.parse(message.data).ping) || 0));
      // What held it back may hold back what comes next.
      this.buffered = this.#opened - this.#answered > HELLO_WITHIN;
      if (this.buffered) this.#set("polling");
      else if (!this.#finite) this.#set("open");
    } else if (message.event === "bye") {
      const { retry_after: wait } = JSON.parse(message.data);
      if (wait === null) this.stop("unauthorized");
      else this.#again(Number(wait) || 0);
    }
  }

  /** The stream ended as HTTP has it. */
  #ended() {
    if (!this.#opened) return this.#failed(new SseNotifyError("The stream ended before it began."));
    // One that lasted was cut by something in between, which ends it cleanly for us.
    this.#finite = this.#o.clock.now() - this.#opened < STABLE;
    this.#close();
    this.#set(this.#finite ? "polling" : "waiting");
    this.#schedule(this.#o.env.visible() ? this.#retry : Math.max(this.#retry, 30_000));
  }

  /** @param {Error & {status?: number, retryAfter?: number | null}} error */
  #failed(error) {
    const { status = 0, retryAfter = null } = error;
    this.#failing ||= this.#o.clock.now();
    if (status === 401 || status === 403) this.stop("unauthorized");
    else if ([204, 400, 410].includes(status)) this.stop();
    else this.#again(retryAfter);
    this.#o.onError(error);
  }

  /** @param {number | null} hint */
  #again(hint) {
    const now = this.#o.clock.now();
    if (this.#opened && now - this.#opened >= STABLE) this.#backoff.reset();
    this.#close();
    this.#finite = false;
    const wait = this.#backoff.next(hint);
    this.#notBefore = hint === null ? 0 : now + wait;
    if (!this.buffered) this.#set(this.#o.env.online() ? "waiting" : "offline");
    this.#schedule(wait);
    const { env, clock } = this.#o;
    if (this.#failing && now - this.#failing > GIVE_UP_HIDDEN && !env.visible()) clock.clearTimeout(this.#retryTimer);
  }

  /** @param {number} ms */
  #schedule(ms) {
    const { clock } = this.#o;
    clock.clearTimeout(this.#retryTimer);
    this.#due = clock.now() + ms;
    this.#retryTimer = clock.setTimeout(() => this.#connect(), ms);
  }

  /** Do what is due: timers of a hidden page are late, and one that gave up has none. */
  look() {
    if (this.#due && this.#o.clock.now() >= this.#due) this.#connect();
    else this.#look();
  }

  /** Something changed: look whether the stream is alive, or try again now. @param {number} ms */
  #wake(ms) {
    if (this.#attempt) this.#look();
    else this.#schedule(Math.max(250, ms, this.#notBefore - this.#o.clock.now()));
  }

  /** Compare the time with what should have happened by now. Timers of hidden pages are late, and sleep is seen only so. */
  #look() {
    if (!this.#attempt) return;
    const now = this.#o.clock.now();
    if (now - this.#heard > this.#silence) return this.#failed(new SseNotifyError("The stream fell silent."));
    if (!this.#opened && this.#answered && now - this.#answered > HELLO_WITHIN) {
      this.buffered = true;
      this.#set("polling");
    } else if (this.buffered && this.#opened && now - this.#opened > TRY_AGAIN) {
      this.#again(0);
    } else if (this.#finite && this.#opened && now - this.#opened > 2_000) {
      this.#finite = false; // it did not end this time: the server changed
      this.#set("open");
    }
  }

  #close() {
    const attempt = this.#attempt;
    this.#attempt = null;
    this.#answered = this.#opened = this.#due = 0;
    this.#o.clock.clearTimeout(this.#retryTimer);
    attempt?.abort();
  }

  /** @param {ConnectionState} state */
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.#o.onState(state);
  }
}
