/** How many notifications are unread and unseen: the server's absolute numbers, and what arrived since they were taken. */

/** @param {unknown[]} numbers */
export function whole(...numbers) {
  if (!numbers.every((n) => Number.isSafeInteger(n))) throw new TypeError("a whole number is missing");
}

export class Counts {
  value;
  /** Grows with all that may make an answer, which was asked for before it, out of date. */
  steps = 0;
  /** Those of the steps that marks of this page caused. */
  echoes = 0;
  #upTo; // the numbers include everything up to here
  /** @type {number | null | undefined} */
  #stateSeq;
  #fresh = new Set(); // ids that are unread and unseen for certain
  #loose = false; // they may include more than was heard, as they are those of a mark's answer
  #tell;
  #refresh;

  /**
   * @param {{cursor?: number | null, stateSeq?: number | null, unread?: number, unseen?: number}} known
   * @param {(counts: {unread: number, unseen: number}) => void} tell
   * @param {() => void} refresh Only the server knows.
   */
  constructor({ cursor, stateSeq, unread = 0, unseen = 0 }, tell, refresh) {
    this.value = { unread, unseen };
    this.#upTo = cursor ?? 0;
    this.#stateSeq = stateSeq;
    this.#tell = tell;
    this.#refresh = refresh;
  }

  /** Count a notification, unless the numbers have it. @param {{id: number, seq: number, count: number}} item */
  add({ id, seq, count }) {
    if (seq > this.#upTo) {
      this.steps++;
      const { unread, unseen } = this.value;
      if (count === 1) this.#set({ unread: unread + 1, unseen: unseen + 1 });
      // A repeat: whether it was read before, only the server knows.
      if (count === 1 ? this.#loose : !this.#fresh.has(id)) this.#refresh();
    }
    if (this.#fresh.size >= 1_000) this.#fresh.clear();
    this.#fresh.add(id);
  }

  /**
   * Take what an `update` or a `remove` says.
   *
   * @param {any} change
   * @param {boolean} isOurs Whether a mark of this page caused it.
   */
  change(change, isOurs) {
    const { state_seq: seq, unread, unseen } = change;
    this.#fresh.clear();
    this.steps++;
    if (isOurs) this.echoes++;
    // What is sent to many users at once carries nobody's counts.
    if (unread === undefined) return this.#refresh();
    whole(unread, unseen);
    this.#stateSeq = Math.max(this.#stateSeq ?? 0, seq ?? 0);
    if (seq && seq <= this.#upTo) return; // what is known is newer
    this.#upTo = seq ?? this.#upTo;
    this.#loose = false;
    this.#set(change);
  }

  /** Wait for the answer to a mark, and take it. @param {Promise<any>} asked */
  async mark(asked) {
    const others = this.steps - this.echoes;
    const answer = await asked;
    this.#fresh.clear();
    if (others !== this.steps - this.echoes) this.#refresh();
    else {
      this.#loose = true;
      this.#set(answer);
    }
    return answer;
  }

  /**
   * Take over the server's view, which includes everything up to `upTo`.
   *
   * @param {any} state
   * @param {number} upTo
   * @returns {boolean} Whether changes were missed: only the last is replayed.
   */
  adopt(state, upTo) {
    whole(state.unread, state.unseen);
    this.steps++;
    this.#upTo = upTo;
    this.#loose = false;
    this.#set(state);
    const known = this.#stateSeq;
    this.#stateSeq = state.state_seq;
    if (known === undefined || known === state.state_seq) return false;
    this.#fresh.clear();
    return true;
  }

  /** Start over at a number that may be smaller, as when a backup was restored. @param {number} cursor */
  reset(cursor) {
    this.#upTo = cursor;
    this.#fresh.clear();
    this.steps++;
  }

  /** @param {{unread: number, unseen: number}} counts */
  #set({ unread, unseen }) {
    if (unread === this.value.unread && unseen === this.value.unseen) return;
    this.value = { unread, unseen };
    this.#tell(this.value);
  }
}
