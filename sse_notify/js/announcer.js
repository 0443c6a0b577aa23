import { isHidden, part, words } from "./parts.js";

/** Milliseconds: how long titles are collected, and between two messages, as a screen reader is not to be talked over. */
const COLLECT = 1_000;
const EVERY = 5_000;

/**
 * Speaks through the one live region: at most every five seconds, several titles as one.
 *
 * @param {HTMLElement} root The widget.
 */
export function makeAnnouncer(root) {
  /** @type {string[]} */
  let waiting = [];
  /** @type {any} */
  let timer;
  let spoke = 0;

  /** Tell the outcome of what the user did, at once. @param {string} text */
  const say = (text) => {
    spoke = Date.now();
    part(root, "live")?.replaceChildren(text);
  };

  const speak = () => {
    const [title, ...more] = waiting.splice(0);
    timer = undefined;
    say(words(root, "live", more.length ? "many" : "one", { title, count: more.length + 1 }));
  };

  return {
    say,

    /** @param {string} title */
    announce(title) {
      // Only the page in front speaks.
      if (isHidden()) return;
      waiting.push(title);
      timer ??= setTimeout(speak, Math.max(COLLECT, spoke + EVERY - Date.now()));
    },

    stop() {
      clearTimeout(timer);
      timer = undefined;
      waiting = [];
      say("");
    },
  };
}
