/**
 * The event stream format of the WHATWG HTML standard, read piece by piece: section 9.2.6, "Interpreting an event stream".
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */

import { BLOCK_MAX } from "./limits.js";

const LINE_END = /\r\n|\r|\n/g;

/**
 * @typedef {object} Message
 * @property {string} event The event's name, "message" if the block has none.
 * @property {string} data
 * @property {string | null} id The id of this very block, `null` if it has none.
 * @property {string} [topic] What it was published under, if that is not its name: a field of sse_notify's own.
 */

/** What becomes a message: its data are lines yet. @returns {any} */
const blank = () => ({ event: "", data: [], id: null });

export class EventStreamParser {
  /** The last event id: that of the last *complete* block that had one. A block that is cut short never counts. */
  lastEventId = "";
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /** What does not count at the start of the next piece: a byte order mark, once; an LF after a CR that has ended the line already. */
  #ignored = "\ufeff";
  #rest = "";
  #message = blank();
  #size = 0;
  #onEvent;
  #onRetry;

  /**
   * @param {(message: Message) => void} onEvent Called for each complete event.
   * @param {(milliseconds: number) => void} [onRetry] Called for each reconnection time.
   */
  constructor(onEvent, onRetry = () => {}) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  /**
   * Take the next piece of the stream, cut anywhere, even within a character or a CRLF.
   *
   * @param {string | Uint8Array} chunk
   * @throws {RangeError} An event is too large.
   */
  feed(chunk) {
    const whole = typeof chunk === "string" ? chunk : this.#decoder.decode(chunk, { stream: true });
    if (!whole) return;
    const text = whole.startsWith(this.#ignored) ? whole.slice(this.#ignored.length) : whole;
    this.#ignored = whole.endsWith("\r") ? "\n" : "";
    let start = 0;
    for (const { 0: end, index } of text.matchAll(LINE_END)) {
      const line = this.#rest + text.slice(start, index);
      this.#rest = "";
      start = index + end.length;
      if (line) this.#field(line);
      else this.#dispatch();
    }
    this.#rest += text.slice(start);
    if (this.#size + this.#rest.length > BLOCK_MAX) throw new RangeError("An event is too large.");
  }

  /** @param {string} line */
  #field(line) {
    this.#size += line.length;
    // Without a colon the whole line is the name, and the value is empty. One space after the colon does not count. A comment has no name.
    const [, name, value] = /** @type {[string, string, string]} */ (
      /** @type {unknown} */ (/^([^:]*):? ?(.*)/s.exec(line))
    );
    if (name === "data") this.#message.data.push(value);
    else if (name === "event" || name === "topic") this.#message[name] = value;
    else if (name === "id" && !value.includes("\0")) this.#message.id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }

  #dispatch() {
    const message = this.#message;
    this.#message = blank();
    this.#size = 0;
    if (message.id !== null) this.lastEventId = message.id;
    if (!message.data.length) return; // no data, no event; `data:` alone is an event with empty data
    message.event ||= "message";
    message.data = message.data.join("\n");
    this.#onEvent(message);
  }
}
