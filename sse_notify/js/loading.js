/** Load the files that only some pages need, each once. */

import { safeUrl } from "./urls.js";

/**
 * Return a function that loads a file. If that fails, the next call tries again.
 *
 * It takes the file's address, which the server's markup knows, as names of static files may be
 * hashed. It must be of this script's origin: what was put into the page must not bring a script
 * from elsewhere. Where it cannot be had, as after a release that removed the hashed file, the file
 * beside this script is taken, or the chunk that a bundler made of it.
 *
 * @template Module
 * @param {() => Promise<Module>} loadNear Loads the file beside this script.
 */
const once = (loadNear) => {
  /** @type {Promise<Module> | undefined} */
  let asked;
  return (/** @type {string | undefined} */ address) => {
    // Some browsers remember that an address failed: a new fragment makes it another. An empty
    // address fails. Bundlers leave it alone.
    asked ??= import(
      /* webpackIgnore: true */
      /* @vite-ignore */
      `${safeUrl(address, import.meta.url)}#${Math.random()}`
    )
      .catch(loadNear)
      .catch((error) => {
        asked = undefined;
        throw error;
      });
    return asked;
  };
};

/** Load what a page needs once something arrives. */
export const loadArrivals = once(() => import("./arrivals.js"));

/** Load the transport by the browser's EventSource. */
export const loadEventSource = once(() => import("./eventsource.js"));

/** Load what reads streams of one's own. */
export const loadFetch = once(() => import("./fetch.js"));
