/** What only some pages need is a file of its own, which is loaded once, when it is needed. */

/** @type {Promise<typeof import("./arrivals.js")> | undefined} */
let asked;
let tries = 0;

/**
 * Load what a page needs once something arrives.
 *
 * @param {string | URL} [address] The widget knows it, as those of static files may be hashed; under its plain name it is beside this file.
 * @returns {Promise<typeof import("./arrivals.js")>} If it fails, the next call tries again.
 */
export function loadArrivals(address = new URL("sse-notify-arrivals.js", import.meta.url)) {
  // Some browsers remember for good that an address failed.
  asked ??= import(`${address}#${++tries}`).catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}
