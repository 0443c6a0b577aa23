/**
 * What the messages of a stream mean, whichever tab's it is: each notification is told once, in order, and the cursor says how far.
 * What no stream brought is fetched, and messages wait until it is there.
 */

/** @import { Message } from "./parser.js" */
import { Counts, whole } from "./counts.js";
import { SseNotifyError, signedOut } from "./requests.js";
import { withQuery } from "./urls.js";

const PAGE = 100; // items, the most that a page has
const AGAIN = 5_000; // ms, at least, after which counts that could not be fetched are asked for again

export class Feed {
  /** Everything up to here was heard. @type {number | null} */
  cursor;
  counts;
  #o;
  /** @type {any[] | null} */
  #held = null; // messages that wait until it is known what was missed
  #replayedTo = 0; // where the replay ends
  #catching = false;
  #bad = ""; // the last message that made no sense
  /** @type {any} */
  #timer;

  /**
   * @param {object} options
   * @param {string} options.id This page's, in the updates that its marks cause.
   * @param {string} options.key
   * @param {string | undefined} options.items
   * @param {number | null} [options.cursor]
   * @param {number | null} [options.stateSeq]
   * @param {number} [options.unread]
   * @param {number} [options.unseen]
   * @param {import("./requests.js").Requests} options.requests
   * @param {import("./surroundings.js").Clock} options.clock
   * @param {() => number} options.random
   * @param {(type: string, value: unknown) => void} options.emit
   * @param {() => void} options.onSignedOut
   */
  constructor(options) {
    this.#o = options;
    this.cursor = options.cursor ?? null;
    this.counts = new Counts(
      options,
      (counts) => options.emit("counts", counts),
      () => this.refresh(),
    );
  }

  /**
   * Take one message; return whether it was fit to be passed on.
   *
   * @param {Message} message
   * @throws {SseNotifyError} It makes no sense: the stream is to be opened again before it. If it makes none then either, it is skipped.
   */
  receive(message) {
    try {
      this.#take(message);
    } catch (error) {
      const bad = `${message.event} ${message.id}`;
      if (bad !== this.#bad) {
        this.#bad = bad;
        throw new SseNotifyError(`The event "${bad}" makes no sense: ${error}`);
      }
      this.#o.emit("error", error);
      return false;
    }
    return true;
  }

  /** Take what another tab took. @param {Message} message */
  hear(message) {
    if (this.#held) return this.#held.push(message);
    try {
      this.receive(message);
    } catch (error) {
      this.#o.emit("error", error);
    }
  }

  /** Let messages wait until `release` or `catchUp`. */
  hold() {
    this.#held = [];
  }

  /** Forget what waits: a stream of ours brings it again. */
  drop() {
    this.#held = null;
  }

  release() {
    const held = this.#held ?? [];
    this.#held = null;
    for (const message of held) this.hear(message);
  }

  stop() {
    this.drop();
    this.#o.clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Fetch what was missed while no stream of ours brought it. */
  async catchUp() {
    if (this.#catching) return;
    this.#catching = true;
    const { requests, items, emit } = this.#o;
    const from = this.cursor;
    this.#held ??= [];
    const held = this.#held;
    try {
      const steps = this.counts.steps;
      const state = await requests.state();
      const page =
        from !== null && state.cursor > from ? await requests.ask(withQuery(items ?? "", { limit: PAGE })) : { items: [] };
      if (this.#held !== held) return; // stopped, or leading now
      // A stream that is held back may have brought some of it meanwhile.
      const heard = this.cursor ?? 0;
      /** @type {any[]} */
      const missed = page.items.filter((/** @type {any} */ { seq }) => seq !== null && seq > heard && seq <= state.cursor);
      this.#replayedTo = Math.max(state.cursor, heard);
      if (this.#isOld(state, steps)) this.refresh();
      else this.#adopt(state, state.cursor);
      this.cursor = this.#replayedTo;
      if (page.next && missed.length === page.items.length) emit("reset", { reason: "too_many" });
      else for (const item of missed.sort((a, b) => a.seq - b.seq)) this.#deliver(item);
    } catch (error) {
      // What is held waits on, or the gap would be passed over; the leader's next answer, or the next poll, leads here again.
      emit("error", error);
      return;
    } finally {
      this.#catching = false;
    }
    if (this.#held === held) this.release();
  }

  /**
   * Fetch the counts soon, once for all who ask; not all clients at the same moment.
   *
   * @param {number} [soon] In milliseconds, at least.
   */
  refresh(soon = 250) {
    const { clock, random, requests, emit } = this.#o;
    clock.clearTimeout(this.#timer);
    const timer = clock.setTimeout(
      async () => {
        const { steps } = this.counts;
        let again = 0;
        try {
          const state = await requests.state();
          if (this.#isOld(state, steps)) again = 250;
          else this.#adopt(state, Math.max(state.cursor, this.cursor ?? 0));
        } catch (error) {
          emit("error", error);
          again = AGAIN;
        }
        if (again && this.#timer === timer) this.refresh(again); // not if it was stopped, or asked again meanwhile
      },
      soon * (1 + 7 * random()),
    );
    this.#timer = timer;
  }

  /** Whether an answer leaves out what was heard while it was on its way. @param {any} state @param {number} steps */
  #isOld(state, steps) {
    return steps !== this.counts.steps && state.cursor < (this.cursor ?? 0);
  }

  /** @param {any} state @param {number} upTo */
  #adopt(state, upTo) {
    if (this.counts.adopt(state, upTo)) this.#o.emit("reset", { reason: "state" });
  }

  /** @param {Message} message */
  #take(message) {
    const { event, data, id } = message;
    const take = Object.hasOwn(this.#reserved, event) ? this.#reserved[event] : null;
    // A notification has a number; what has none was published to whoever listens now, and is text of any kind.
    if (!take && id === null) return this.#o.emit("event", message);
    const value = JSON.parse(data);
    if (take) take(value);
    else this.#notification(value, message);
    if (id !== null && event !== "hello" && event !== "reset") this.#advance(Number(id));
  }

  /** @type {Record<string, (value: any) => void>} */
  #reserved = {
    hello: (hello) => {
      const { key, onSignedOut, emit } = this.#o;
      whole(hello.cursor, hello.head);
      // Somebody else has signed in meanwhile: this page is not theirs.
      if (hello.key && key && hello.key !== key) {
        onSignedOut();
        return emit("error", signedOut());
      }
      this.cursor ??= /** @type {number} */ (hello.cursor);
      this.#replayedTo = hello.head;
      // One that waited for this tab to thaw is older than what was fetched since.
      if (hello.head >= this.cursor) this.#adopt(hello, hello.head);
    },
    update: (update) => this.#change("update", update),
    remove: (remove) => this.#change("remove", remove),
    ping: (ping) => {
      whole(ping.cursor);
      this.#advance(ping.cursor); // all up to there was sent before, on this very connection
    },
    reset: (reset) => {
      whole(reset.cursor);
      this.cursor = reset.cursor; // maybe smaller: a backup was restored
      this.counts.reset(reset.cursor);
      this.#o.emit("reset", { reason: reset.reason });
      this.refresh();
    },
    bye: () => {},
  };

  /** @param {string} event @param {any} change */
  #change(event, change) {
    this.counts.change(change, change.client === this.#o.id);
    this.#o.emit(event, change);
  }

  /**
   * @param {any} item
   * @param {Message} message
   */
  #notification(item, message) {
    whole(item.id, item.seq);
    if (typeof item.title !== "string" || item.seq !== Number(message.id)) throw new TypeError("not a notification");
    if (item.seq <= (this.cursor ?? -1)) return; // heard before, from another connection
    this.#advance(item.seq); // before the listeners: one that stops the client must find it heard
    this.#deliver(item);
    if (message.event !== "notification") this.#o.emit("event", message);
  }

  /** @param {any} item */
  #deliver(item) {
    this.counts.add(item);
    this.#o.emit("notification", { ...item, unread: true, unseen: true, replayed: item.seq <= this.#replayedTo });
  }

  /** @param {number} seq */
  #advance(seq) {
    if (seq > (this.cursor ?? -1)) this.cursor = seq;
  }
}
