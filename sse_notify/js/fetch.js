/**
 * The event stream of any one request, such as a POST whose answer comes piece by piece, or a
 * request with its own headers. The browser's EventSource can do neither.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { SseNotifyError } from "./requests.js" */
import { createBackoff } from "./backoff.js";
import { systemClock } from "./environment.js";
import { EventStreamParser } from "./parser.js";
import { checkStream, formToken } from "./requests.js";

/** The statuses after which another attempt may succeed; all others are final. */
const PASSING = /^(408|425|429|5..)$/;

/**
 * Return the page's CSRF token: the cookie's, which a login in another tab renews, or a form's, if
 * scripts cannot read the cookie.
 */
const pageToken = () => /(?:^|; )csrftoken=(\w+)/.exec(document.cookie)?.[1] ?? formToken(document);

/**
 * Return the options of `fetch`. Django's token goes to this site alone, and is not sent along a
 * redirect.
 *
 * @param {string | URL} url
 * @param {Omit<RequestInit, "body"> & Pick<Types.FetchEventStreamOptions, "body" | "csrf" |
 *   "csrfHeader">} options
 * @returns {RequestInit & {headers: Headers}}
 */
function request(
  url,
  {
    body,
    method = body == null ? "GET" : "POST",
    csrf = pageToken,
    csrfHeader = "X-CSRFToken",
    ...init
  },
) {
  const headers = new Headers(init.headers);
  /** @type {(name: string, value: string) => unknown} */
  const suggest = (name, value) => headers.has(name) || headers.set(name, value);
  suggest("Accept", "text/event-stream, */*;q=0.1"); // a view that negotiates would answer 406
  const isJson = [Object, Array].includes(/** @type {any} */ (body)?.constructor);
  if (isJson) suggest("Content-Type", "application/json");
  const page = globalThis.document;
  const isOwn =
    page &&
    !/^(GET|HEAD|OPTIONS|TRACE)$/i.test(method) &&
    new URL(url, page.baseURI).origin === location.origin;
  const token = isOwn && (typeof csrf === "function" ? csrf() : csrf);
  if (token) suggest(csrfHeader, token);
  return {
    cache: "no-store",
    ...init,
    ...(token && { mode: "same-origin" }),
    method,
    headers,
    body: isJson ? JSON.stringify(body) : /** @type {any} */ (body ?? null),
  };
}

/**
 * Read an event stream, event by event, to its end.
 *
 * @param {string | URL} url
 * @param {Types.FetchEventStreamOptions & {clock?: import("./environment.js").Clock}} [options]
 * @returns {Promise<string>} The last event id.
 * @throws {SseNotifyError} The server refuses, or answers with something else.
 */
export async function fetchEventStream(url, options = {}) {
  const {
    onEvent,
    onOpen,
    onError,
    resume,
    lastEventId,
    fetch = globalThis.fetch,
    clock = systemClock,
    random = Math.random,
    ...init
  } = options;
  const { headers, ...asked } = request(url, init);
  // Fail at once if this is not a valid request, instead of trying for ever.
  if (resume) new Request(url, { ...asked, headers, body: null });
  const { signal } = asked;
  const backoff = createBackoff(random);
  /** @type {number | null} */
  let retry = null; // what the stream asked for, in milliseconds
  let id = lastEventId ?? "";
  let isOurs = false; // whether an error is not the network's

  /**
   * Wait some milliseconds, or until the signal aborts.
   *
   * @param {number} ms
   * @returns {Promise<void>}
   */
  const pause = (ms) =>
    new Promise((resolve) => {
      const end = () => {
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const timer = clock.setTimeout(end, ms);
      signal?.addEventListener("abort", end);
    });

  /** Send the request and read the answer; return whether the stream is complete. */
  const attempt = async () => {
    isOurs = false;
    // A header holds bytes, an id any text.
    if (id) headers.set("Last-Event-ID", String.fromCharCode(...new TextEncoder().encode(id)));
    const response = await fetch(url, { ...asked, headers });
    if (resume && response.status === 204) return true; // as for an EventSource
    await checkStream(response, clock.now());
    /** @type {Types.StreamMessage[]} */
    const messages = [];
    const parser = new EventStreamParser(
      (message) => messages.push(message),
      (ms) => {
        retry = ms;
      },
    );
    parser.lastEventId = id;
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    try {
      isOurs = true;
      onOpen?.(response);
      for (;;) {
        isOurs = false;
        const { done, value } = await reader.read();
        if (done) return !resume || !id; // without an id the next answer would repeat everything
        isOurs = true;
        parser.feed(value);
        for (const message of messages.splice(0)) {
          signal?.throwIfAborted();
          const more = await onEvent?.(message); // meanwhile nothing is read, so the server waits
          id = message.id ?? id;
          if (more === false) return true;
        }
        id = parser.lastEventId;
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  };

  for (;;) {
    const before = id;
    let hint = null;
    try {
      if (await attempt()) return id;
    } catch (error) {
      const { status, retryAfter } = /** @type {Partial<SseNotifyError>} */ (error);
      const isFinal = status !== undefined && !PASSING.test(`${status}`);
      if (isOurs || !resume || isFinal || signal?.aborted) throw error;
      hint = retryAfter;
      onError?.(/** @type {Error} */ (error));
    }
    if (id !== before) {
      backoff.reset();
      headers.delete("Last-Event-ID"); // the stream may have taken it back, with an empty id
    }
    signal?.throwIfAborted();
    await pause(backoff.next(hint ?? retry));
    signal?.throwIfAborted();
  }
}
