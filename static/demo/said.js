// What was said: a message on the page, with the tones of how its words came.

/** @typedef {{ title: string, url: string }} Link */

const { lang } = document.documentElement;

export const copy = (/** @type {string} */ id) => {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (template.content.firstElementChild?.cloneNode(true));
};
export const find = (/** @type {Element} */ where, /** @type {string} */ what) =>
  /** @type {HTMLElement} */ (where.querySelector(what));
export const isOnItsWay = (/** @type {string} */ state) =>
  state === "waiting" || state === "running";

/** One message, with the pieces of its text and how each of them came. */
export class Said {
  /** @type {{ text: string, tone: string }[]} */
  pieces = [];
  came = { replayed: 0, live: 0 };
  item = copy("message");

  /** @param {boolean} isAnswer */
  constructor(isAnswer) {
    this.item.classList.toggle("said--user", !isAnswer);
  }
  get text() {
    return this.pieces.map((piece) => piece.text).join("");
  }
  /** Show this text and no other. */
  set(/** @type {string} */ text, tone = "") {
    this.pieces = [];
    this.came = { replayed: 0, live: 0 };
    this.append(text, tone);
  }
  /** Show this text; keep the tones of what is there of it. */
  become(/** @type {string} */ text) {
    const { length } = this.text;
    const tone = this.came.replayed || this.came.live ? "replayed" : "";
    if (!text.startsWith(this.text)) this.set(text);
    else if (text.length > length) this.append(text.slice(length), tone);
  }
  append(/** @type {string} */ text, /** @type {string} */ tone) {
    const last = this.pieces.at(-1);
    if (last?.tone === tone) last.text += text;
    else this.pieces.push({ text, tone });
    this.#render();
  }
  /** Count a word, and show it in the tone of how it came. */
  hear(/** @type {string} */ text, /** @type {"replayed" | "live"} */ tone) {
    this.came[tone] += 1;
    this.append(text, tone);
  }
  link(/** @type {Link[]} */ links) {
    const anchors = links.map(({ title, url: href }) => {
      const anchor = Object.assign(document.createElement("a"), { textContent: title, href });
      const item = document.createElement("li");
      item.append(anchor);
      return item;
    });
    find(this.item, ".said__links").replaceChildren(...anchors);
  }
  /** Show how it stands: on its way, complete, or how it ended before. */
  be(/** @type {string} */ state, canGoOn = true) {
    this.item.dataset.state = state;
    this.item.classList.toggle("said--busy", isOnItsWay(state));
    for (const note of this.item.querySelectorAll("[data-of]"))
      note.toggleAttribute("hidden", note.getAttribute("data-of") !== state);
    find(this.item, "[data-go-on]").hidden =
      !canGoOn || !state || state === "done" || isOnItsWay(state);
  }
  /** Text is text; what stands between two fences is code. */
  #render() {
    const blocks = [];
    let at = 0;
    for (const [number, part] of this.text.split(/(^```.*\n?)/m).entries()) {
      const from = at;
      at += part.length;
      if (number % 2) continue; // a fence
      const isCode = number % 4 === 2;
      const start = isCode ? from : from + part.length - part.trimStart().length;
      const spans = this.#between(start, isCode ? at : from + part.trimEnd().length);
      if (!spans.length) continue;
      const block = document.createElement(isCode ? "pre" : "p");
      if (isCode) block.tabIndex = 0; // so that keys can scroll it
      block.append(...spans);
      blocks.push(block);
    }
    find(this.item, ".said__text").replaceChildren(...blocks);
    const counts = find(this.item, ".said__came");
    counts.hidden = !(this.came.replayed || this.came.live);
    for (const tone of /** @type {const} */ (["replayed", "live"]))
      find(counts, `[data-tone=${tone}] b`).textContent = this.came[tone].toLocaleString(lang);
  }
  /** Return the text between two places, in the tones of its pieces. @param {number} start @param {number} end */
  #between(start, end) {
    const spans = [];
    let at = 0;
    for (const { text, tone } of this.pieces) {
      const textContent = text.slice(Math.max(start - at, 0), Math.max(end - at, 0));
      at += text.length;
      if (!textContent) continue;
      const span = Object.assign(document.createElement("span"), { textContent });
      if (tone) span.dataset.tone = tone;
      spans.push(span);
    }
    return spans;
  }
}
