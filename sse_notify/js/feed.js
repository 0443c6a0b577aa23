/**
 * What the messages of a stream mean, whichever tab has it: each notification is emitted once, in
 * order, and the cursor says how far. What no stream brought is fetched, and messages wait for it.
 */

/** @import { Clock } from "./environment.js" */
/** @import { Message } from "./parser.js" */
import { createCounts, requireIntegers } from "./counts.js";
import { PAGE, REFRESH_AFTER, REFRESH_FAILED } from "./limits.js";
import { signedOut } from "./requests.js";
import { withQuery } from "./urls.js";

/**
 * @param {object} options
 * @param {string} options.id This page's, in the updates that its own marks cause.
 * @param {{items: string}} options.urls
 * @param {number | null} [options.cursor]
 * @param {number | null} [options.stateSeq]
 * @param {number} [options.unread]
 * @param {number} [options.unseen]
 * @param {ReturnType<typeof import("./requests.js").createRequests>} options.requests
 * @param {Clock} options.clock
 * @param {() => number} options.random
 * @param {(type: string, value?: unknown) => void} options.emit
 * @param {() => void} options.onSignedOut
 */
export function createFeed(options) {
  const { id: own, urls, requests, clock, random, emit, onSignedOut } = options;
  /** Messages that wait until what was missed is fetched. @type {Message[] | null} */
  let held = null;
  let replayedTo = 0; // the number at which the replay ends
  let catching = false;
  /** @type {any} */
  let timer;

  /** Move the cursor; return whether it moved. @param {number} seq */
  const advance = (seq) => {
    if (!(seq > (self.cursor ?? -1))) return false; // NaN moves nothing
    self.cursor = seq;
    return true;
  };

  /** @param {any} item */
  const deliver = (item) => {
    // A fetched item says what the user has done with it; one from the stream is new.
    const { unread = !item.muted, unseen = unread } = item;
    if (unread && unseen) counts.add(item);
    emit("notification", { ...item, unread, unseen, replayed: item.seq <= replayedTo });
  };

  /**
   * Return whether an answer lacks what arrived while it was on its way.
   *
   * @param {any} state
   * @param {number} steps
   */
  const isOld = (state, steps) => steps !== counts.steps && state.cursor < (self.cursor ?? 0);

  /** @param {any} state @param {number} upTo */
  const adopt = (state, upTo) => {
    if (counts.adopt(state, upTo)) emit("reset", { reason: "state" });
  };

  /** @param {string} event */
  const changed = (event) => (/** @type {any} */ change) => {
    counts.change(change, change.client === own);
    emit(event, change);
  };

  /** The events of the protocol itself. @type {Record<string, (value: any) => void>} */
  const reserved = {
    __proto__: /** @type {any} */ (null), // an event may have the name of an object's property
    hello(hello) {
      requireIntegers(hello.cursor, hello.head);
      if (requests.isOther(hello)) {
        onSignedOut();
        return emit("error", signedOut());
      }
      self.cursor ??= /** @type {number} */ (hello.cursor);
      replayedTo = hello.head;
      // A frozen tab may read an old `hello`, after it fetched what is newer.
      if (hello.head >= self.cursor) adopt(hello, hello.head);
    },
    update: changed("update"),
    remove: changed("remove"),
    ping({ cursor }) {
      requireIntegers(cursor);
      advance(cursor); // this very connection has brought everything up to there
    },
    reset({ cursor, reason }) {
      requireIntegers(cursor);
      self.cursor = cursor; // smaller than before if a backup was restored
      counts.reset(cursor);
      emit("reset", { reason });
      self.refresh();
    },
    bye() {},
  };

  /**
   * @param {any} item
   * @param {Message} message
   */
  const notification = (item, message) => {
    // Other things than notifications have neither a title nor the block's number.
    requireIntegers(item.id, item.title.length, item.seq === Number(message.id) && item.seq);
    // Before the listeners, as one of them may stop the client.
    if (!advance(item.seq)) return; // another connection brought it
    deliver(item);
    if (message.event !== "notification") emit("event", message);
  };

  /** @param {Message} message */
  const handle = (message) => {
    const { event, data, id } = message;
    const special = reserved[event];
    // Without a number it is no notification: it was published, and its data may be any text.
    if (!special && id === null) return emit("event", message);
    const value = JSON.parse(data);
    if (special) special(value);
    else notification(value, message);
    if (id !== null && event !== "hello") advance(Number(id));
  };

  const counts = createCounts(
    options,
    (value) => emit("counts", value),
    () => self.refresh(),
  );

  const self = {
    counts,
    /** Everything up to here has arrived. */
    cursor: options.cursor ?? null,

    /**
     * Handle a message of this tab's stream.
     *
     * @param {Message} message
     * @returns {boolean} Whether the message is valid, so that other tabs may get it.
     */
    receive(message) {
      try {
        handle(message);
        return true;
      } catch (error) {
        self.fail(error, message.id);
        return false;
      }
    },

    /**
     * Tell an error. If it is an event's, go past the event, and have fetched what it said.
     *
     * @param {any} error
     * @param {string | null | undefined} [id] The event's.
     */
    fail(error, id = error.eventId) {
      emit("error", error);
      if (!advance(Number.parseInt(/** @type {string} */ (id), 10))) return;
      console.error(error, id);
      /** @type {any} */ (reserved).reset({ cursor: self.cursor, reason: "invalid" });
    },

    /** Handle a message that another tab has received. @param {Message} message */
    relay(message) {
      if (held) held.push(message);
      else self.receive(message);
    },

    /** Let messages wait until `release` or `catchUp`. */
    hold() {
      held = [];
    },

    release() {
      const waiting = held ?? [];
      held = null;
      for (const message of waiting) self.relay(message);
    },

    /** Forget the messages that wait, and fetch nothing: another stream brings them again. */
    stop() {
      held = null;
      clock.clearTimeout(timer);
      timer = null;
    },

    /** Fetch what was missed while this tab had no stream. */
    async catchUp() {
      if (catching) return;
      catching = true;
      const from = self.cursor;
      held ??= [];
      const ours = held;
      try {
        const { steps } = counts;
        const state = await requests.state();
        const page =
          from !== null && state.cursor > from
            ? await requests.ask(withQuery(urls.items, { limit: PAGE }))
            : { items: [] };
        if (held !== ours) return; // stopped, or leading now
        // A buffered stream may have brought some of it meanwhile.
        const known = self.cursor ?? 0;
        /** @type {any[]} */
        const missed = page.items.filter(
          (/** @type {any} */ { seq }) => seq !== null && seq > known && seq <= state.cursor,
        );
        replayedTo = Math.max(state.cursor, known);
        if (isOld(state, steps)) self.refresh();
        else adopt(state, state.cursor);
        self.cursor = replayedTo;
        if (page.next && missed.length === page.items.length) emit("reset", { reason: "too_many" });
        else for (const item of missed.sort((a, b) => a.seq - b.seq)) deliver(item);
        if (held === ours) self.release();
      } catch (error) {
        // Held messages wait on, or the gap would be passed over. The leader's next answer, or the
        // next poll, tries again.
        emit("error", error);
      } finally {
        catching = false;
      }
    },

    /**
     * Fetch the counts soon, once for all who ask, and not in all clients at the same moment.
     *
     * @param {number} [soon] The least time, in milliseconds.
     */
    refresh(soon = REFRESH_AFTER) {
      clock.clearTimeout(timer);
      const mine = clock.setTimeout(
        async () => {
          const { steps } = counts;
          let again = 0;
          try {
            const state = await requests.state();
            if (isOld(state, steps)) again = REFRESH_AFTER;
            else adopt(state, Math.max(state.cursor, self.cursor ?? 0));
          } catch (error) {
            emit("error", error);
            again = REFRESH_FAILED;
          }
          if (again && timer === mine) self.refresh(again); // unless it was stopped or asked again
        },
        soon * (1 + 7 * random()),
      );
      timer = mine;
    },
  };

  return self;
}
