/**
 * What a page needs once something arrives: how an item is made, put in its place, and told of by a toast and to a screen reader; how far long work is. A file of its own,
 * `sse-notify-arrivals.js`: a page to which nothing comes does not load it.
 */

export { makeAnnouncer } from "./announcer.js";
export { place, take } from "./placing.js";
export { takeProgress, watchProgress } from "./progress.js";
export { makeToasts } from "./toasts.js";
