/** Event listeners. An error that one of them throws harms no other. */

export function createEmitter() {
  /** @type {Map<string, Set<(value: any) => void>>} */
  const all = new Map();
  return {
    /**
     * @param {string} type
     * @param {(value: any) => void} fn
     * @returns {() => void} Ends it.
     */
    on(type, fn) {
      const listeners = all.get(type) ?? new Set();
      all.set(type, listeners.add(fn));
      return () => listeners.delete(fn);
    },

    /**
     * @param {string} type
     * @param {unknown} [value]
     */
    emit(type, value) {
      for (const listener of all.get(type) ?? []) {
        try {
          listener(value);
        } catch (error) {
          (globalThis.reportError ?? console.error)(error);
        }
      }
    },
  };
}
