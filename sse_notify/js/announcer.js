import { isHidden, part, words } from "./parts.js";

/** Milliseconds: how long titles are collected, and between two messages, as a screen reader is not to be talked over. */
const COLLECT = 1_000;
const EVERY = 5_000;

/** Speaks through the one live region: at most every five seconds, several titles as one. */
export class Announcer {
  /** @type {string[]} */
  #waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #spoke = 0;

  /** @param {HTMLElement} root The widget. */
  constructor(root) {
    this.root = root;
  }

  /** @param {string} title */
  announce(title) {
    // Only the page in front speaks.
    if (isHidden()) return;
    this.#waiting.push(title);
    this.#timer ??= setTimeout(() => this.#speak(), Math.max(COLLECT, this.#spoke + EVERY - Date.now()));
  }

  /** Tell the outcome of what the user did, at once. @param {string} text */
  say(text) {
    this.#spoke = Date.now();
    part(this.root, "live")?.replaceChildren(text);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.say("");
  }

  #speak() {
    const [title, ...more] = this.#waiting.splice(0);
    this.#timer = undefined;
    this.say(words(this.root, "live", more.length ? "many" : "one", { title, count: more.length + 1 }));
  }
}
