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
 * @param {number} seconds From now; negative in the past.
 * @returns {string} "5 minutes ago" or "in 5 minutes", in the page's language.
 */
export function relativeTime(seconds) {
  const format = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
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
    // If the server's clock is ahead, nothing is from the future.
    if (moment) time.textContent = relativeTime(Math.min(0, (moment - Date.now()) / 1_000));
  }
}
