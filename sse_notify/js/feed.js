/**
 * What the messages of a stream mean, whichever tab's it is: each notification is told once, in order, and the cursor says how far.
 * What no stream brought is fetched, and messages wait until it is there.
 */

import { createCounts, whole } from "./counts.js";
/** @import { Message } from "./parser.js" */
import { PAGE, REFRESH_AFTER, REFRESH_FAILED } from "./limits.js";
import { SseNotifyError, signedOut } from "./requests.js";
import { withQuery } from "./urls.js";

/**
 * @param {object} options
 * @param {string} options.id This page's, in the updates that its marks cause.
 * @param {{items: string}} options.urls
 * @param {number | null} [options.cursor]
 * @param {number | null} [options.stateSeq]
 * @param {number} [options.unread]
 * @param {number} [options.unseen]
 * @param {ReturnType<typeof import("./requests.js").createRequests>} options.requests
 * @param {import("./surroundings.js").Clock} options.clock
 * @param {() => number} options.random
 * @param {(type: string, value?: unknown) => void} options.emit
 * @param {() => void} options.onSignedOut
 */
export function createFeed(options) {
  const { id: own, urls, requests, clock, random, emit, onSignedOut } = options;
  /** @type {Message[] | null} */
  let held = null; // messages that wait until it is known what was missed
  let replayedTo = 0; // where the replay ends
  let catching = false;
  let bad = ""; // the last message that made no sense
  /** @type {any} */
  let timer;

  /** @param {number} seq */
  const advance = (seq) => {
    if (seq > (self.cursor ?? -1)) self.cursor = seq;
  };

  /** @param {any} item */
  const deliver = (item) => {
    // What was fetched says what the user has done with it meanwhile.
    const { unread = !item.muted, unseen = unread } = item;
    if (unread && unseen) counts.add(item);
    emit("notification", { ...item, unread, unseen, replayed: item.seq <= replayedTo });
  };

  /** Whether an answer leaves out what was heard while it was on its way. @param {any} state @param {number} steps */
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

  /** @type {Record<string, (value: any) => void>} */
  const reserved = {
    __proto__: /** @type {any} */ (null), // an event may be named like a property of objects
    hello(hello) {
      whole(hello.cursor, hello.head);
      if (requests.isOther(hello)) {
        onSignedOut();
        return emit("error", signedOut());
      }
      self.cursor ??= /** @type {number} */ (hello.cursor);
      replayedTo = hello.head;
      // One that waited for this tab to thaw is older than what was fetched since.
      if (hello.head >= self.cursor) adopt(hello, hello.head);
    },
    update: changed("update"),
    remove: changed("remove"),
    ping({ cursor }) {
      whole(cursor);
      advance(cursor); // all up to there was sent before, on this very connection
    },
    reset({ cursor, reason }) {
      whole(cursor);
      self.cursor = cursor; // maybe smaller: a backup was restored
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
    whole(item.id, item.seq);
    if (typeof item.title !== "string" || item.seq !== Number(message.id))
      throw new TypeError("not a notification");
    if (item.seq <= (self.cursor ?? -1)) return; // heard before, from another connection
    advance(item.seq); // before the listeners: one that stops the client must find it heard
    deliver(item);
    if (message.event !== "notification") emit("event", message);
  };

  /** @param {Message} message */
  const take = (message) => {
    const { event, data, id } = message;
    const special = reserved[event];
    // A notification has a number; what has none was published to whoever listens now, and is text of any kind.
    if (!special && id === null) return emit("event", message);
    const value = JSON.parse(data);
    if (special) special(value);
    else notification(value, message);
    if (id !== null && event !== "hello" && event !== "reset") advance(Number(id));
  };

  const counts = createCounts(
    options,
    (value) => emit("counts", value),
    () => self.refresh(),
  );

  const self = {
    counts,
    /** Everything up to here was heard. */
    cursor: options.cursor ?? null,

    /**
     * Take one message; return whether it was fit to be passed on.
     *
     * @param {Message} message
     * @throws {SseNotifyError} It makes no sense: the stream is to be opened again before it. If it makes none then either, it is skipped.
     */
    receive(message) {
      try {
        take(message);
        return true;
      } catch (error) {
        const name = `${message.event} ${message.id}`;
        if (name !== bad) {
          bad = name;
          throw new SseNotifyError(`Invalid event "${name}": ${error}`);
        }
        emit("error", error);
        return false;
      }
    },

    /** Take what another tab took. @param {Message} message */
    hear(message) {
      if (held) return held.push(message);
      try {
        self.receive(message);
      } catch (error) {
        emit("error", error);
      }
    },

    /** Let messages wait until `release` or `catchUp`. */
    hold() {
      held = [];
    },

    release() {
      const waiting = held ?? [];
      held = null;
      for (const message of waiting) self.hear(message);
    },

    /** Forget what waits and fetch nothing: another stream brings it again. */
    stop() {
      held = null;
      clock.clearTimeout(timer);
      timer = null;
    },

    /** Fetch what was missed while no stream of ours brought it. */
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
        // A stream that is held back may have brought some of it meanwhile.
        const heard = self.cursor ?? 0;
        /** @type {any[]} */
        const missed = page.items.filter(
          (/** @type {any} */ { seq }) => seq !== null && seq > heard && seq <= state.cursor,
        );
        replayedTo = Math.max(state.cursor, heard);
        if (isOld(state, steps)) self.refresh();
        else adopt(state, state.cursor);
        self.cursor = replayedTo;
        if (page.next && missed.length === page.items.length) emit("reset", { reason: "too_many" });
        else for (const item of missed.sort((a, b) => a.seq - b.seq)) deliver(item);
        if (held === ours) self.release();
      } catch (error) {
        // What is held waits on, or the gap would be passed over; the leader's next answer, or the next poll, leads here again.
        emit("error", error);
      } finally {
        catching = false;
      }
    },

    /**
     * Fetch the counts soon, once for all who ask; not all clients at the same moment.
     *
     * @param {number} [soon] In milliseconds, at least.
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
          if (again && timer === mine) self.refresh(again); // not if it was stopped, or asked again meanwhile
        },
        soon * (1 + 7 * random()),
      );
      timer = mine;
    },
  };
  return self;
}
