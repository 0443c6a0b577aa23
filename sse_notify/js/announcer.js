/** Milliseconds between two messages: a screen reader is not to be talked over. */
const EVERY = 5_000;

/** Speaks through the one live region: at once, then at most every five seconds, several as one. */
export class Announcer {
  /** @type {string[]} */
  #waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement | null} region */
  constructor(region) {
    this.region = region;
  }

  /** @param {string} title */
  announce(title) {
    // Only the page in front speaks.
    if (document.visibilityState === "hidden") return;
    this.#waiting.push(title);
    if (this.#timer === undefined) this.#speak();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.region?.replaceChildren();
  }

  #speak() {
    const titles = this.#waiting.splice(0);
    this.#timer = undefined;
    if (titles.length === 0 || !this.region) return;
    const { one = "{title}", many = "{count}" } = this.region.dataset;
    this.region.textContent =
      titles.length === 1 ? one.replace("{title}", () => titles[0] ?? "") : many.replace("{count}", String(titles.length));
    this.#timer = setTimeout(() => this.#speak(), EVERY);
  }
}
