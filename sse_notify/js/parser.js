/**
 * A parser of event streams, as the WHATWG HTML standard has it: section 9.2.6, "Interpreting an
 * event stream".
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */

import { BLOCK_END, BLOCK_MAX } from "./limits.js";

const LINE_END = /\r\n|\r|\n/g;

/**
 * @typedef {object} Message
 * @property {string} event The event's name, "message" if it has none.
 * @property {string} data
 * @property {string | null} id The event's own id, `null` if it has none.
 * @property {string} [topic] The topic that it was published to, if that is not its name; a field
 *   of sse_notify.
 */

/** Return a message whose lines of data are still to come. @returns {any} */
const blank = () => ({ event: "", data: [], id: null });

/** @param {string | null} id */
const tooLarge = (id) => {
  throw Object.assign(new RangeError("The event is too large."), { eventId: id });
};

export class EventStreamParser {
  /** The id of the last complete event that had one. */
  lastEventId = "";
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  /**
   * What is skipped at the start of the next chunk: a byte order mark at first, the LF of a CRLF
   * that was cut.
   */
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
  constructor(onEvent, onRetry) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
  }

  /**
   * Parse the next chunk of the stream, which may be cut within a character or a CRLF.
   *
   * @param {string | Uint8Array} chunk
   * @throws {RangeError} An event was too large. Its `eventId` is that of the event, which comes
   *   last; `null` if the event does not end.
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
    this.#check(this.#size + this.#rest.length);
  }

  /**
   * Give an event's data up if it is too large. This is called for each line, so it does not matter
   * where the stream is cut.
   *
   * @param {number} size The characters of the event so far.
   */
  #check(size) {
    if (size <= BLOCK_MAX) return;
    this.#message.data = undefined; // go on without it, to the id
    this.#size = size;
    this.#rest = this.#rest.slice(0, 99); // an id is shorter
    if (size > BLOCK_END) tooLarge(null);
  }

  /** @param {string} line */
  #field(line) {
    const size = this.#size + line.length;
    this.#check(size);
    // A line without a colon is a name with an empty value. One space after the colon is skipped. A
    // comment has no name.
    const [, name, value] = /** @type {[string, string, string]} */ (
      /** @type {unknown} */ (/^([^:]*):? ?(.*)/s.exec(line))
    );
    if (name) this.#size = size; // comments never add up
    if (name === "data") this.#message.data?.push(value);
    else if (name === "event" || name === "topic") this.#message[name] = value;
    else if (name === "id" && !value.includes("\0")) this.#message.id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#onRetry?.(Number(value));
  }

  #dispatch() {
    const message = this.#message;
    this.#message = blank();
    this.#size = 0;
    if (message.id !== null) this.lastEventId = message.id;
    if (!message.data) tooLarge(message.id);
    if (!message.data.length) return; // not so for an empty `data:`
    message.event ||= "message";
    message.data = message.data.join("\n");
    this.#onEvent(message);
  }
}
