/**
 * The event stream of any one request, such as a POST whose answer comes piece by piece, or a
 * request with its own headers. The browser's EventSource can do neither. It ships as a file of its
 * own, `sse-notify-fetch.js`, which is loaded when it is first used, and uses parts of the first.
 */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
/** @import { Parts } from "./streams.js" */

/** The statuses after which another attempt may succeed; all others are final. */
const PASSING = /^(408|425|429|5..)$/;

/**
 * Return the page's CSRF token: the cookie's, which a login in another tab renews, or a form's, if
 * scripts cannot read the cookie.
 *
 * @param {Parts["formToken"]} formToken
 */
const pageToken = (formToken) =>
  /(?:^|; )csrftoken=(\w+)/.exec(document.cookie)?.[1] ?? formToken(document);

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
  { body, method = body == null ? "GET" : "POST", csrf, csrfHeader = "X-CSRFToken", ...init },
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
 * Return what keeps the last event id across a reload of the page. Where the browser forbids that,
 * or has no room, nothing is kept.
 *
 * @param {string | undefined} name The key of the stream; without one, nothing is kept.
 */
function createMemory(name) {
  const key = `sse-notify:resume:${name}`;
  return {
    recall() {
      try {
        return (name && sessionStorage.getItem(key)) || "";
      } catch {
        return "";
      }
    },

    /** @param {string} id */
    keep(id) {
      try {
        if (name && id) sessionStorage.setItem(key, id);
        else if (name) sessionStorage.removeItem(key);
      } catch {}
    },
  };
}

/**
 * Read an event stream, event by event, to its end.
 *
 * @param {Parts} parts
 * @param {string | URL} url
 * @param {Types.FetchEventStreamOptions} options
 * @returns {Promise<string>} The last event id.
 * @throws {import("./requests.js").SseNotifyError} The server refuses, or answers with something
 *   else.
 */
export async function readStream(parts, url, options) {
  const { EventStreamParser, checkStream, createBackoff, formToken, systemClock } = parts;
  const {
    onEvent,
    onOpen,
    onError,
    resume,
    resumeFrom,
    lastEventId,
    fetch = globalThis.fetch,
    clock = systemClock,
    random = Math.random,
    csrf = () => pageToken(formToken),
    ...others
  } = options;
  const init = { csrf, ...others };
  const { signal } = init;
  const elsewhere = resume === true ? "" : resume; // where to go on, if not with the same request
  const isNew = init.body != null;
  const memory = createMemory(resumeFrom);
  const first = request(url, init);
  const next = elsewhere ? request(elsewhere, { ...init, method: "GET", body: null }) : first;
  // Fail at once if one is not a valid request, instead of trying for ever.
  if (resume) new Request(url, { ...first, body: null });
  if (elsewhere) new Request(elsewhere, next);
  const backoff = createBackoff(random);
  /** @type {number | null} */
  let retry = null; // what the stream asked for, in milliseconds
  let id = lastEventId ?? (isNew ? "" : memory.recall());
  let address = url;
  let asked = first;
  let isOurs = false; // whether an error is not the network's
  let hasBegun = false; // whether there was an event
  if (isNew) memory.keep(""); // another stream begins

  /** Take an id for that of the last event. @param {string} last */
  const take = (last) => {
    if (last !== id) memory.keep(last);
    id = last;
  };

  /**
   * Wait some milliseconds, or until the signal aborts.
   *
   * @param {number} ms
   * @returns {Promise<void>}
   */
  const pause = (ms) =>
    new Promise((resolve) => {
      const wake = () => {
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = clock.setTimeout(wake, ms);
      signal?.addEventListener("abort", wake);
    });

  /** Send the request and read the answer; return whether the stream is complete. */
  const read = async () => {
    isOurs = false;
    const { headers } = asked;
    // A header holds bytes, an id any text.
    if (id) headers.set("Last-Event-ID", String.fromCharCode(...new TextEncoder().encode(id)));
    const response = await fetch(address, asked);
    if ((resume || resumeFrom) && response.status === 204) return true; // as for an EventSource
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
        if (done) return false;
        isOurs = true;
        parser.feed(value);
        for (const message of messages.splice(0)) {
          signal?.throwIfAborted();
          hasBegun = true;
          const more = await onEvent?.(message); // meanwhile nothing is read, so the server waits
          take(message.id ?? id);
          if (more === false) return true;
        }
        take(parser.lastEventId);
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  };

  for (;;) {
    const before = id;
    let hint = null;
    try {
      if (await read()) {
        memory.keep("");
        return id;
      }
      // Without an id the next answer would repeat what there was, if there was something.
      if (!resume || (!id && (hasBegun || !elsewhere))) return id;
    } catch (error) {
      const { status, retryAfter } =
        /** @type {Partial<import("./requests.js").SseNotifyError>} */ (error);
      // If what was sent is refused, nothing has begun that could be read elsewhere.
      const isPassing =
        status === undefined ||
        (PASSING.test(`${status}`) && !(isNew && elsewhere && asked === first));
      if (isOurs || !resume || !isPassing || signal?.aborted) throw error;
      hint = retryAfter;
      onError?.(/** @type {Error} */ (error));
    }
    if (elsewhere) [address, asked] = [elsewhere, next];
    if (id !== before) {
      backoff.reset();
      asked.headers.delete("Last-Event-ID"); // the stream may have taken it back, with an empty id
    }
    signal?.throwIfAborted();
    await pause(backoff.next(hint ?? retry));
    signal?.throwIfAborted();
  }
}
