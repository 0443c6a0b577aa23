/** @import { Item } from "../static/sse_notify/sse-notify.js" */
import { ANNOUNCE_AFTER, ANNOUNCE_EVERY } from "./limits.js";
import { isHidden, part, words } from "./parts.js";

/**
 * Speak to screen readers through the widget's one live region: at most every five seconds, and of
 * several titles only their number.
 *
 * @param {HTMLElement} root The widget.
 */
export function makeAnnouncer(root) {
  /** @type {string[]} */
  let waiting = [];
  /** @type {any} */
  let timer;
  let spoke = 0; // when it spoke last, in milliseconds since 1970

  /** Say something at once, such as what came of the user's own action. @param {string} text */
  const say = (text) => {
    spoke = Date.now();
    part(root, "live")?.replaceChildren(text);
  };

  const speak = () => {
    const [title, ...more] = waiting.splice(0);
    timer = 0;
    say(words(root, "live", more.length ? "many" : "one", { title, count: more.length + 1 }));
  };

  return {
    say,

    /** Announce the titles of items soon. A hidden page says nothing. @param {Item[]} items */
    announce(items) {
      if (isHidden() || !items.length) return;
      waiting.push(...items.map(({ title }) => title));
      timer ||= setTimeout(speak, Math.max(ANNOUNCE_AFTER, spoke + ANNOUNCE_EVERY - Date.now()));
    },

    stop() {
      clearTimeout(timer);
      timer = 0;
      waiting = [];
      say("");
    },
  };
}
