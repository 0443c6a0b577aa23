/** How long ago, or how long from now, in words of the page's language. */

/** Units, and the seconds that each has. @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Return the language of the page. */
export const language = () => document.documentElement.lang || undefined;

const makeFormat = () => new Intl.RelativeTimeFormat(language(), { numeric: "auto" });

/**
 * @param {number} seconds From now; negative in the past.
 * @param {Intl.RelativeTimeFormat} [format] For several times: making one is slow.
 * @returns {string} "5 minutes ago" or "in 5 minutes", in the page's language.
 */
export function relativeTime(seconds, format = makeFormat()) {
  for (const [unit, size] of UNITS)
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  return format.format(Math.max(0, Math.trunc(seconds)), "second");
}

/** Write all times below `root` as they are now. @param {ParentNode} root */
export function refreshTimes(root) {
  const format = makeFormat();
  for (const time of root.querySelectorAll("time.ssen-time")) {
    const moment = Date.parse(/** @type {HTMLTimeElement} */ (time).dateTime);
    // If the server's clock is ahead, its times are now, not in the future.
    const seconds = Math.min(0, (moment - Date.now()) / 1_000);
    if (moment) time.textContent = relativeTime(seconds, format);
  }
}
