/** Load the file that only some pages need, once. */

import { safeUrl } from "./urls.js";

/** @type {Promise<typeof import("./arrivals.js")> | undefined} */
let asked;
let tries = 0;

/**
 * Load what a page needs once something arrives. If that fails, the next call tries again.
 *
 * @param {string} [address] The widget knows it, as names of static files may be hashed. It must be
 *   of this script's origin: what was put into the page must not bring a script from elsewhere.
 *   Where it cannot be had, as after a release that removed the hashed file, the file beside this
 *   script is taken, or the chunk that a bundler made of it.
 * @returns {Promise<typeof import("./arrivals.js")>}
 */
export function loadArrivals(address) {
  // Some browsers remember that an address failed: a new fragment makes it another. An empty
  // address fails. Bundlers leave it alone.
  asked ??= import(
    /* webpackIgnore: true */ /* @vite-ignore */ `${safeUrl(address, import.meta.url)}#${++tries}`
  )
    .catch(() => import("./arrivals.js"))
    .catch((error) => {
      asked = undefined;
      throw error;
    });
  return asked;
}
