/**
 * How many notifications are unread and unseen: the server's absolute numbers, and what arrived
 * since.
 */

import { FRESH_MAX } from "./limits.js";

/** @param {unknown[]} numbers */
export function requireIntegers(...numbers) {
  if (!numbers.every(Number.isSafeInteger)) throw new TypeError("no integer");
}

/**
 * @param {{
 *   cursor?: number | null, stateSeq?: number | null, unread?: number, unseen?: number
 * }} known
 * @param {(counts: {unread: number, unseen: number}) => void} onChange
 * @param {() => void} refresh Fetches the counts, where only the server knows them.
 */
export function createCounts({ cursor, stateSeq, unread = 0, unseen = 0 }, onChange, refresh) {
  let upTo = cursor ?? 0; // the numbers include everything up to here
  let loose = false; // an answer to a mark may count what has not arrived yet
  let echoes = 0; // the steps that marks of this page caused
  const fresh = new Set(); // ids that are unread and unseen for certain

  /** @param {{unread: number, unseen: number}} counts */
  const set = ({ unread, unseen }) => {
    if (unread === self.value.unread && unseen === self.value.unseen) return;
    self.value = { unread, unseen };
    onChange(self.value);
  };

  const self = {
    value: { unread, unseen },
    /** Grows with everything that may outdate an answer which was asked for before. */
    steps: 0,

    /**
     * Count a notification, unless the numbers include it.
     *
     * @param {{id: number, seq: number, count: number}} item
     */
    add({ id, seq, count }) {
      if (seq > upTo) {
        self.steps++;
        const { unread, unseen } = self.value;
        if (count === 1) set({ unread: unread + 1, unseen: unseen + 1 });
        // Only the server knows whether the user had read a repeated notification before.
        if (count === 1 ? loose : !fresh.has(id)) refresh();
      }
      if (fresh.size >= FRESH_MAX) fresh.clear();
      fresh.add(id);
    },

    /**
     * Adopt the counts of an `update` or a `remove`.
     *
     * @param {any} change
     * @param {boolean} isOurs Whether a mark of this page caused it.
     */
    change(change, isOurs) {
      const { state_seq: seq, unread, unseen } = change;
      fresh.clear();
      self.steps++;
      if (isOurs) echoes++;
      // A message to many users carries no counts.
      if (unread === undefined) return refresh();
      requireIntegers(unread, unseen);
      stateSeq = Math.max(stateSeq ?? 0, seq ?? 0);
      if (seq && seq <= upTo) return; // the numbers are newer
      upTo = seq ?? upTo;
      loose = false;
      set(change);
    },

    /** Adopt the counts of the answer to a mark. @param {Promise<any>} asked */
    async settle(asked) {
      const others = self.steps - echoes;
      const answer = await asked;
      fresh.clear();
      if (others !== self.steps - echoes) refresh();
      else {
        loose = true;
        set(answer);
      }
      return answer;
    },

    /**
     * Adopt the server's state, which includes everything up to `head`.
     *
     * @param {any} state
     * @param {number} head
     * @returns {boolean} Whether changes were missed: only the last one is replayed.
     */
    adopt(state, head) {
      requireIntegers(state.unread, state.unseen);
      self.reset(head, false);
      set(state);
      const known = stateSeq;
      stateSeq = state.state_seq;
      if (known === undefined || known === stateSeq) return false;
      fresh.clear();
      return true;
    },

    /**
     * Start over at a number, which is smaller than before if a backup was restored.
     *
     * @param {number} head
     * @param {boolean} [forget] Whether the ids in `fresh` may be wrong.
     */
    reset(head, forget = true) {
      self.steps++;
      upTo = head;
      loose = false;
      if (forget) fresh.clear();
    },
  };
  return self;
}
