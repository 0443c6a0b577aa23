/**
 * What a page needs once something arrives: it makes items and puts them into the list, announces
 * them by toasts and to screen readers, and shows how far long work is. It ships as a file of its
 * own, `sse-notify-arrivals.js`: a page loads it soon after it has loaded itself.
 */

/** @import { Item, Update } from "../static/sse_notify/sse-notify.js" */
/** @import { SseNotifyClient } from "./client.js" */
/** @import { List } from "./list.js" */
/** @import { Message } from "./parser.js" */
import { makeAnnouncer } from "./announcer.js";
import { EXPIRE_WITHIN, SEEN_AFTER } from "./limits.js";
import { isHidden } from "./parts.js";
import { placeItems, placePage } from "./placement.js";
import { takeProgress, watchProgress } from "./progress.js";
import { makeToasts } from "./toasts.js";

/** @typedef {ReturnType<typeof makeArrivals>} Arrivals */

/**
 * @param {List} list The list of a widget.
 * @param {SseNotifyClient} client
 * @param {(id: number) => void} drop Removes an item that has expired.
 * @param {() => void} again Called when it is time to look again at what expires.
 * @param {(upTo: number | null) => unknown} see Marks items as seen.
 */
export function makeArrivals(list, client, drop, again, see) {
  const toasts = makeToasts(list);
  const announcer = makeAnnouncer(list.root);
  /** @type {any} */
  let expiryTimer;
  /** @type {any} */
  let seenTimer;
  /** The counts for which the items were marked as seen. @type {unknown} */
  let seenCounts;
  watchProgress(list);

  /** Remove the items that have expired, and set a timer for the next one. */
  const expire = () => {
    let soonest = EXPIRE_WITHIN;
    /** @type {(id: unknown, at: string | null | undefined) => void} */
    const look = (id, at) => {
      const left = Date.parse(/** @type {string} */ (at)) - Date.now(); // NaN if it never expires
      if (left <= 0) drop(Number(id));
      else if (left < soonest) soonest = left;
    };
    for (const { id, expires_at: at } of list.held) look(id, at);
    for (const { dataset: of } of /** @type {NodeListOf<HTMLElement>} */ (
      list.root.querySelectorAll("[data-expires]")
    )) {
      look(of.ssenItem, of.expires);
    }
    clearTimeout(expiryTimer);
    expiryTimer = setTimeout(again, soonest);
  };

  /**
   * Mark items as seen that the user sees for a second; for the same counts only once.
   *
   * @param {boolean | undefined} isShown
   */
  const markSeenSoon = (isShown) => {
    const { counts, cursor, state } = client;
    if (!isShown || isHidden() || !counts.unseen || state === "unauthorized") {
      clearTimeout(seenTimer);
      seenTimer = seenCounts = 0;
    } else if (!seenTimer && seenCounts !== counts) {
      seenCounts = counts;
      seenTimer = setTimeout(() => {
        seenTimer = 0;
        see(cursor);
      }, SEEN_AFTER);
    }
  };

  return {
    placeItems,
    placePage,
    say: announcer.say,
    dismiss: toasts.dismiss,
    clear: toasts.clear,

    /**
     * Tell the user what has just arrived, and do what is due.
     *
     * @param {Item[]} items
     * @param {boolean | undefined} isShown Whether the panel shows them.
     */
    tell(items, isShown) {
      announcer.announce(items);
      if (!isShown) toasts.show(items);
      expire();
      markSeenSoon(isShown);
    },

    /** Remove the toasts of what was read or archived elsewhere. @param {Update} update */
    update({ set, ids = [0], up_to: upTo }) {
      if (set === "read" || set === "archived") for (const id of ids) toasts.dismiss(id, upTo);
    },

    /** Show news of long work. @param {Message} message */
    event({ event, data, id, topic }) {
      // A project's own has a topic, or is a notification.
      if (event === "progress" && !topic && id === null) takeProgress(list, data);
    },

    /** Take back all that is shown, and say no more. */
    stop() {
      [seenTimer, expiryTimer].forEach(clearTimeout);
      announcer.stop();
      toasts.clear();
    },
  };
}
