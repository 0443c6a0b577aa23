/** Requests to the server beside the stream, and the errors of refused requests. */

/**
 * Raised when the server refuses a request, or its answer is not what was asked for. `status` is 0
 * without an answer.
 */
export class SseNotifyError extends Error {
  /** @override */
  name = "SseNotifyError";
  status = 0;
  code = "";
  /** Milliseconds. @type {number | null} */
  retryAfter = null;
  /** The topic that was refused, if there are several. @type {string | undefined} */
  topic;

  /**
   * @param {string} message
   * @param {Partial<Pick<SseNotifyError, "status" | "code" | "retryAfter" | "topic">>} [more]
   */
  constructor(message, more) {
    super(message);
    Object.assign(this, more);
  }
}

/**
 * Return the error of a response that is not OK.
 *
 * @param {Response} response
 * @param {number} now
 */
async function refusal(response, now) {
  const { status, headers } = response;
  const said = (await response.json().catch(() => null)) ?? {};
  const { message = `HTTP ${status}`, error: code = "", topic } = said;
  const wait = headers.get("Retry-After") ?? "";
  const ms = /^\d+$/.test(wait) ? Number(wait) * 1_000 : Date.parse(wait) - now;
  const retryAfter = ms >= 0 ? ms : null; // null for NaN, too
  return new SseNotifyError(message, { status, code, topic, retryAfter });
}

/** Return the CSRF token of a form below `root`, "" if there is none. @param {ParentNode} root */
export const formToken = (root) =>
  /** @type {HTMLInputElement | null} */ (root.querySelector("[name=csrfmiddlewaretoken]"))
    ?.value ?? "";

/** Return the error after a redirect to a login page, or when somebody else has signed in. */
export const signedOut = () => new SseNotifyError("You are signed out.", { status: 401 });

/**
 * Check that a response is an event stream.
 *
 * @param {Response} response
 * @param {number} now
 * @throws {SseNotifyError}
 */
export async function checkStream(response, now) {
  const { ok, status, redirected, headers } = response;
  if (status === 200 && /^text\/event-stream *(;|$)/i.test(headers.get("Content-Type") ?? ""))
    return;
  if (!ok) throw await refusal(response, now);
  response.body?.cancel(); // its body may never end
  throw redirected ? signedOut() : new SseNotifyError("This is no stream.", { status });
}

/**
 * @param {object} options
 * @param {Record<string, string>} options.urls
 * @param {string} [options.key]
 * @param {() => string} options.csrf
 * @param {string} options.csrfHeader
 * @param {typeof globalThis.fetch} options.fetch
 * @param {import("./environment.js").Clock} options.clock
 * @param {() => void} options.onSignedOut
 */
export function createRequests({ urls, key, csrf, csrfHeader, fetch, clock, onSignedOut }) {
  let token = ""; // a newer CSRF token than the page's

  const self = {
    /** The seconds after which a client without a stream may ask again. */
    poll: 0,

    /**
     * @param {string | undefined} url
     * @param {RequestInit} [options]
     * @returns {Promise<any>}
     * @throws {SseNotifyError}
     */
    async ask(url, options = {}) {
      const response = await fetch(/** @type {string} */ (url), {
        ...options,
        headers: { Accept: "application/json", ...options.headers },
      });
      let error = response.ok
        ? response.redirected && signedOut()
        : await refusal(response, clock.now());
      const answer = error ? {} : await response.json();
      error ||= self.isOther(answer) && signedOut();
      if (error) {
        if (error.status === 401) onSignedOut();
        throw error;
      }
      token = answer.csrf || token;
      self.poll = answer.poll ?? self.poll;
      return answer;
    },

    /**
     * Return whether an answer is for somebody else: another user, or a visitor, whose key is null.
     * A client that was not told whose it is learns it from the first answer with a key.
     *
     * @param {{key?: any}} answer
     */
    isOther(answer) {
      key ||= answer.key;
      return "key" in answer && answer.key !== key;
    },

    /** Return `{cursor, state_seq, unread, unseen}`. */
    state: () => self.ask(urls.state),

    /**
     * @param {string | undefined} url
     * @param {object} what
     */
    send(url, what) {
      const post = () =>
        self.ask(url, {
          method: "POST",
          keepalive: true, // the click that marks an item often leaves the page
          headers: { "Content-Type": "application/json", [csrfHeader]: token || csrf() },
          body: JSON.stringify(what),
        });
      return post().catch(async (error) => {
        if (error.status !== 403) throw error;
        await self.state(); // brings a new token, as after a login in another tab
        return post();
      });
    },
  };
  return self;
}
