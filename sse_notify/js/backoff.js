/** How long to wait before the next try: exponential, with full jitter, so that clients spread out after an outage. */

const BASE = 1_000; // ms
const CAP = 60_000; // ms
const LEAST = 250; // ms
const HINT_CAP = 600_000; // ms

/** @param {() => number} random A number from 0 to 1. */
export function createBackoff(random) {
  let tries = 0;
  return {
    /** Start over: the connection was stable. */
    reset() {
      tries = 0;
    },

    /**
     * Return the milliseconds to wait.
     *
     * @param {number | null} [hint] What the server asked for, in ms. It is never undercut: jitter only adds to it.
     */
    next(hint = null) {
      const full = random() * Math.min(CAP, BASE * 2 ** tries);
      const isFirst = !tries++;
      if (hint === null) return Math.max(LEAST, full);
      const asked = Math.min(hint, HINT_CAP) * (1 + 0.3 * random());
      return Math.max(LEAST, asked, isFirst ? 0 : full);
    },
  };
}
