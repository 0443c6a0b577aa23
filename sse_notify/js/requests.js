/** What is asked of the server beside the stream, and how what it refuses is told. */

/** Raised when the server refuses; `status` is 0 if there was no answer, or not one of ours. */
export class SseNotifyError extends Error {
  /** @override */
  name = "SseNotifyError";
  status = 0;
  code = "";
  /** Milliseconds. @type {number | null} */
  retryAfter = null;
  /** Which of several topics is refused. @type {string | undefined} */
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
 * Return the error that a response which is not OK stands for.
 *
 * @param {Response} response
 * @param {number} now
 */
async function refusal(response, now) {
  const { status, headers } = response;
  const said = (await response.json().catch(() => null)) ?? {};
  const { message = `HTTP status ${status}`, error: code = "", topic } = said;
  const wait = headers.get("Retry-After") ?? "";
  const ms = /^\d+$/.test(wait) ? Number(wait) * 1_000 : Date.parse(wait) - now;
  return new SseNotifyError(message, { status, code, topic, retryAfter: ms >= 0 ? ms : null }); // NaN is not
}

/** A middleware of the project led to its login page, or somebody else has signed in. */
export const signedOut = () => new SseNotifyError("You are signed out.", { status: 401 });

/**
 * Make sure that an answer is an event stream.
 *
 * @param {Response} response
 * @param {number} now
 * @throws {SseNotifyError}
 */
export async function checkStream(response, now) {
  const { ok, status, redirected, headers } = response;
  if (status === 200 && /^text\/event-stream\s*(;|$)/i.test(headers.get("Content-Type") ?? ""))
    return;
  if (!ok) throw await refusal(response, now);
  response.body?.cancel(); // it may never end
  throw redirected
    ? signedOut()
    : new SseNotifyError("The answer is not a stream.", { status: status === 204 ? 204 : 0 });
}

/**
 * @param {object} options
 * @param {Record<string, string>} options.urls
 * @param {string} options.key
 * @param {() => string} options.csrf
 * @param {string} options.csrfHeader
 * @param {typeof globalThis.fetch} options.fetch
 * @param {import("./surroundings.js").Clock} options.clock
 * @param {() => void} options.onSignedOut
 */
export function createRequests({ urls, key, csrf, csrfHeader, fetch, clock, onSignedOut }) {
  let token = ""; // a CSRF token, newer than the page's

  const self = {
    /** The seconds after which one without a stream may ask again. */
    poll: 0,

    /**
     * @param {string | undefined} url
     * @param {RequestInit} [options]
     * @returns {Promise<any>}
     * @throws {SseNotifyError}
     */
    async ask(url, options = {}) {
      const headers = { Accept: "application/json", ...options.headers };
      const response = await fetch(/** @type {string} */ (url), { ...options, headers });
      const error = response.ok
        ? response.redirected && signedOut()
        : await refusal(response, clock.now());
      const answer = error ? {} : await response.json();
      const failed = error || (self.isOther(answer) && signedOut());
      if (failed) {
        if (failed.status === 401) onSignedOut();
        throw failed;
      }
      token = answer.csrf || token;
      self.poll = answer.poll ?? self.poll;
      return answer;
    },

    /** Whether an answer is for somebody else, who has signed in meanwhile. @param {{key?: string}} answer */
    isOther: (answer) => key && answer.key && answer.key !== key,

    /** Return `{cursor, state_seq, unread, unseen}`. */
    state: () => self.ask(urls.state),

    /**
     * @param {string | undefined} url
     * @param {object} what
     */
    post(url, what) {
      const post = () =>
        self.ask(url, {
          method: "POST",
          keepalive: true, // the click that marks an item often leaves the page
          headers: { "Content-Type": "application/json", [csrfHeader]: token || csrf() },
          body: JSON.stringify(what),
        });
      return post().catch(async (error) => {
        if (error.status !== 403) throw error;
        await self.state(); // the token is of before a login in another tab: this brings a new one
        return post();
      });
    },
  };
  return self;
}
