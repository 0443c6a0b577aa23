/** @type {[Intl.RelativeTimeFormatUnit, number][]} From seconds to what. */
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** The page's. */
export const language = () => document.documentElement.lang || undefined;

/**
 * @param {number} moment Milliseconds since 1970.
 * @param {number} now Milliseconds since 1970.
 * @returns {string} "5 minutes ago" or "in 5 minutes", in the page's language.
 */
export function relativeTime(moment, now) {
  const format = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
  const seconds = (moment - now) / 1000;
  for (const [unit, size] of UNITS)
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  return format.format(Math.max(0, Math.trunc(seconds)), "second");
}

/**
 * Write all times below `root` anew, as of now.
 *
 * @param {ParentNode} root
 */
export function refreshTimes(root) {
  for (const time of root.querySelectorAll("time.ssen-time")) {
    const moment = Date.parse(/** @type {HTMLTimeElement} */ (time).dateTime);
    const now = Date.now();
    // A server whose clock is ahead sends nothing from the future.
    if (moment) time.textContent = relativeTime(Math.min(moment, now), now);
  }
}
