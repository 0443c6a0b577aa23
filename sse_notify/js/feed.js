/**
 * What the messages of a stream mean, whichever tab's it is: each notification is told once, in order, and the cursor says how far.
 * What no stream brought is fetched, and messages wait until it is there.
 */

/** @import { Message } from "./parser.js" */
import { createCounts, whole } from "./counts.js";
import { SseNotifyError, signedOut } from "./requests.js";
import { withQuery } from "./urls.js";

const PAGE = 100; // items, the most that a page has
const AGAIN = 5_000; // ms, at least, after which counts that could not be fetched are asked for again

/**
 * @param {object} options
 * @param {string} options.id This page's, in the updates that its marks cause.
 * @param {string} options.key
 * @param {string | undefined} options.items
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
  const { id: own, key, items, requests, clock, random, emit, onSignedOut } = options;
  /** @type {Message[] | null} */
  let held = null; // messages that wait until it is known what was missed
  let replayedTo = 0; // where the replay ends
  let isCatching = false;
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
    if (counts.adoptState(state, upTo)) emit("reset", { reason: "state" });
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
      // Somebody else has signed in meanwhile: this page is not theirs.
      if (hello.key && key && hello.key !== key) {
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
      throw new TypeError("no notification");
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

  const self = {
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
          throw new SseNotifyError(`The event "${name}" makes no sense: ${error}`);
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

    /** Forget what waits: a stream of ours brings it again. */
    dropHeld() {
      held = null;
    },

    releaseHeld() {
      const waiting = held ?? [];
      held = null;
      for (const message of waiting) self.hear(message);
    },

    stop() {
      held = null;
      clock.clearTimeout(timer);
      timer = null;
    },

    /** Fetch what was missed while no stream of ours brought it. */
    async catchUp() {
      if (isCatching) return;
      isCatching = true;
      const from = self.cursor;
      held ??= [];
      const ours = held;
      try {
        const { steps } = counts;
        const state = await requests.state();
        const page =
          from !== null && state.cursor > from
            ? await requests.ask(withQuery(items ?? "", { limit: PAGE }))
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
        if (held === ours) self.releaseHeld();
      } catch (error) {
        // What is held waits on, or the gap would be passed over; the leader's next answer, or the next poll, leads here again.
        emit("error", error);
      } finally {
        isCatching = false;
      }
    },

    /**
     * Fetch the counts soon, once for all who ask; not all clients at the same moment.
     *
     * @param {number} [soon] In milliseconds, at least.
     */
    refresh(soon = 250) {
      clock.clearTimeout(timer);
      const mine = clock.setTimeout(
        async () => {
          const { steps } = counts;
          let again = 0;
          try {
            const state = await requests.state();
            if (isOld(state, steps)) again = 250;
            else adopt(state, Math.max(state.cursor, self.cursor ?? 0));
          } catch (error) {
            emit("error", error);
            again = AGAIN;
          }
          if (again && timer === mine) self.refresh(again); // not if it was stopped, or asked again meanwhile
        },
        soon * (1 + 7 * random()),
      );
      timer = mine;
    },
  };

  const counts = createCounts(
    options,
    (value) => emit("counts", value),
    () => self.refresh(),
  );
  return Object.assign(self, { counts });
}
