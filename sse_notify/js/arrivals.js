/**
 * What a page needs once something arrives: it makes items and puts them into the list, announces
 * them by toasts and to screen readers, and shows how far long work is. It ships as a file of its
 * own, `sse-notify-arrivals.js`: a page loads it with the first that arrives.
 */

/** @import { Item } from "../static/sse_notify/sse-notify.js" */
/** @import { List } from "./list.js" */
import { makeAnnouncer } from "./announcer.js";
import { placeItems, placePage } from "./placement.js";
import { takeProgress, watchProgress } from "./progress.js";
import { makeToasts } from "./toasts.js";

/** @typedef {ReturnType<typeof makeArrivals>} Arrivals */

/** @param {List} list The list of a widget. */
export function makeArrivals(list) {
  const toasts = makeToasts(list);
  const announcer = makeAnnouncer(list.root);
  watchProgress(list);
  return {
    placeItems,
    placePage,
    takeProgress,
    say: announcer.say,
    dismiss: toasts.dismiss,
    clear: toasts.clear,

    /**
     * Tell the user what has just arrived.
     *
     * @param {Item[]} items
     * @param {boolean | undefined} isOpen Whether the panel shows them.
     */
    tell(items, isOpen) {
      announcer.announce(items);
      if (!isOpen) toasts.show(items);
    },

    /** Take back all that is shown, and say no more. */
    stop() {
      announcer.stop();
      toasts.clear();
    },
  };
}
