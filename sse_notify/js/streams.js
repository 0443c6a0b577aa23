/** Streams of one's own. What reads them is loaded when it is first used: most pages have none. */

/** @import * as Types from "../static/sse_notify/sse-notify.js" */
import { createBackoff } from "./backoff.js";
import { systemClock } from "./environment.js";
import { loadFetch } from "./loading.js";
import { EventStreamParser } from "./parser.js";
import { checkStream, formToken } from "./requests.js";

const parts = { EventStreamParser, checkStream, createBackoff, formToken, systemClock };

/**
 * @typedef {typeof parts} Parts What this script lends to the other. A page that is older than the
 *   release may load the other from the release: add a part, and it is missing there.
 */

/**
 * Read an event stream, event by event, to its end: see `fetch.js`.
 *
 * @param {string | URL} url
 * @param {Types.FetchEventStreamOptions} [options]
 */
export const fetchEventStream = async (url, options = {}) => {
  const bell = /** @type {HTMLElement | null | undefined} */ (
    globalThis.document?.querySelector("sse-notify")
  );
  const { readStream } = await loadFetch(bell?.dataset.fetchScript);
  return readStream(parts, url, options);
};
