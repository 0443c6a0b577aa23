/**
 * How long to wait before the next attempt: exponential backoff with full jitter, so that clients
 * spread out after an outage.
 */

import { BACKOFF_BASE, BACKOFF_MAX, HINT_MAX, RETRY_MIN } from "./limits.js";

/** @param {() => number} random Returns a number from 0 to 1. */
export function createBackoff(random) {
  let tries = 0;
  return {
    /** Start over, after a stable connection. */
    reset() {
      tries = 0;
    },

    /**
     * Return the milliseconds to wait.
     *
     * @param {number | null} [hint] What the server asked for, in milliseconds. Jitter only adds to
     *   it.
     */
    next(hint = null) {
      const full = random() * Math.min(BACKOFF_MAX, BACKOFF_BASE * 2 ** tries);
      const isFirst = !tries++;
      if (hint === null) return Math.max(RETRY_MIN, full);
      const asked = Math.min(hint, HINT_MAX) * (1 + 0.3 * random());
      return Math.max(RETRY_MIN, asked, isFirst ? 0 : full);
    },
  };
}
