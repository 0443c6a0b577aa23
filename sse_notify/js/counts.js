/** How many notifications are unread and unseen: the server's absolute numbers, and what arrived since they were taken. */

import { FRESH_MAX } from "./limits.js";

/** @param {unknown[]} numbers */
export function whole(...numbers) {
  if (!numbers.every(Number.isSafeInteger)) throw new TypeError("not an integer");
}

/**
 * @param {{cursor?: number | null, stateSeq?: number | null, unread?: number, unseen?: number}} known
 * @param {(counts: {unread: number, unseen: number}) => void} tell
 * @param {() => void} refresh Only the server knows.
 */
export function createCounts({ cursor, stateSeq, unread = 0, unseen = 0 }, tell, refresh) {
  let upTo = cursor ?? 0; // the numbers include everything up to here
  let loose = false; // they may include more than was heard, as they are those of a mark's answer
  let echoes = 0; // the steps that marks of this page caused
  const fresh = new Set(); // ids that are unread and unseen for certain

  /** @param {{unread: number, unseen: number}} counts */
  const set = ({ unread, unseen }) => {
    if (unread === self.value.unread && unseen === self.value.unseen) return;
    self.value = { unread, unseen };
    tell(self.value);
  };

  const self = {
    value: { unread, unseen },
    /** Grows with all that may make an answer, which was asked for before it, out of date. */
    steps: 0,

    /** Count a notification, unless the numbers have it. @param {{id: number, seq: number, count: number}} item */
    add({ id, seq, count }) {
      if (seq > upTo) {
        self.steps++;
        const { unread, unseen } = self.value;
        if (count === 1) set({ unread: unread + 1, unseen: unseen + 1 });
        // A repeat: whether it was read before, only the server knows.
        if (count === 1 ? loose : !fresh.has(id)) refresh();
      }
      if (fresh.size >= FRESH_MAX) fresh.clear();
      fresh.add(id);
    },

    /**
     * Take what an `update` or a `remove` says.
     *
     * @param {any} change
     * @param {boolean} isOurs Whether a mark of this page caused it.
     */
    change(change, isOurs) {
      const { state_seq: seq, unread, unseen } = change;
      fresh.clear();
      self.steps++;
      if (isOurs) echoes++;
      // What is sent to many users at once carries nobody's counts.
      if (unread === undefined) return refresh();
      whole(unread, unseen);
      stateSeq = Math.max(stateSeq ?? 0, seq ?? 0);
      if (seq && seq <= upTo) return; // what is known is newer
      upTo = seq ?? upTo;
      loose = false;
      set(change);
    },

    /** Wait for the answer to a mark, and take it. @param {Promise<any>} asked */
    async mark(asked) {
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
     * Take over the server's view, which includes everything up to `head`.
     *
     * @param {any} state
     * @param {number} head
     * @returns {boolean} Whether changes were missed: only the last is replayed.
     */
    adopt(state, head) {
      whole(state.unread, state.unseen);
      self.reset(head, false);
      set(state);
      const known = stateSeq;
      stateSeq = state.state_seq;
      if (known === undefined || known === stateSeq) return false;
      fresh.clear();
      return true;
    },

    /** Start over at a number that may be smaller, as when a backup was restored. @param {number} head @param {boolean} [forget] */
    reset(head, forget = true) {
      self.steps++;
      upTo = head;
      loose = false;
      if (forget) fresh.clear();
    },
  };
  return self;
}
