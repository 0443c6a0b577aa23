/** Load the file that only some pages need, once. */

/** @type {Promise<typeof import("./arrivals.js")> | undefined} */
let asked;
let tries = 0;

/**
 * Load what a page needs once something arrives. If that fails, the next call tries again.
 *
 * @param {string | URL} [address] The widget knows it, as names of static files may be hashed. By
 *   default it is beside this file.
 * @returns {Promise<typeof import("./arrivals.js")>}
 */
export function loadArrivals(address = new URL("sse-notify-arrivals.js", import.meta.url)) {
  // Some browsers remember that an address failed: a new fragment makes it another.
  asked ??= import(`${address}#${++tries}`).catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}
