/** Who listens to what; what one listener throws harms nobody else. */

export class Emitter {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * @param {string} type
   * @param {(value: any) => void} fn
   * @returns {() => void} Stops it.
   */
  on(type, fn) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(fn));
    return () => listeners.delete(fn);
  }

  /**
   * @param {string} type
   * @param {unknown} value
   */
  emit(type, value) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(value);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
  }
}
