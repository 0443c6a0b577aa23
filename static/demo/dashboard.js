// Draws what the server measures, for as long as somebody looks at the page.

const gauges = /** @type {HTMLElement} */ (document.getElementById("gauges"));
const status = /** @type {HTMLElement} */ (document.getElementById("status"));
const SECONDS = Number(gauges.dataset.seconds);
/** @typedef {Record<string, number>} Sample */
/** @type {Sample[]} */
let samples = [];
/** @type {EventSource | null} */
let source = null;

function watch() {
  source = new EventSource(gauges.dataset.stream ?? "");
  status.dataset.status = "connecting";
  source.onopen = () => {
    status.dataset.status = "open";
    samples = []; // the server begins with the last minute
  };
  source.onmessage = ({ data }) => {
    samples = [...samples, JSON.parse(data)].slice(-SECONDS);
    requestAnimationFrame(draw);
  };
  source.onerror = () => {
    // It comes back by itself, unless the server refuses.
    status.dataset.status = source?.readyState === EventSource.CLOSED ? "failed" : "waiting";
  };
}

function rest() {
  source?.close();
  source = null;
  status.dataset.status = "closed";
}

function draw() {
  const newest = samples.at(-1);
  if (!newest) return;
  const watchers = document.getElementById("watchers");
  if (watchers) watchers.textContent = String(newest.watchers);
  for (const gauge of gauges.children) {
    const { of = "", unit = "", top } = /** @type {HTMLElement} */ (gauge).dataset;
    const names = of.split(" ");
    const highest = Math.max(
      Number(top),
      ...names.flatMap((name) => samples.map((sample) => sample[name] ?? 0)),
    );
    const lines = names.map((name) => path(name, highest));
    gauge.querySelectorAll("output").forEach((place, number) => {
      place.textContent = words(newest[names[number] ?? ""] ?? 0, unit);
    });
    gauge.querySelectorAll(".chart__line").forEach((line, number) => {
      line.setAttribute("d", lines[number] ?? "");
    });
    gauge
      .querySelector(".chart__area")
      ?.setAttribute("d", `${lines[0]} V100 H${SECONDS - samples.length} Z`);
  }
}

/** The way of one number through the last minute, the newest at the right. @param {string} name @param {number} highest */
function path(name, highest) {
  const start = SECONDS - samples.length;
  const points = samples.map((sample, number) => {
    const height = 100 - (98 * (sample[name] ?? 0)) / highest;
    return `${number ? "L" : "M"}${start + number} ${height.toFixed(1)} H${start + number + 1}`;
  });
  return points.join(" ");
}

/** @param {number} value @param {string} unit */
function words(value, unit) {
  if (unit !== "B/s")
    return `${value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: 2 })}${unit && `\u00a0${unit}`}`;
  const power = Math.min(3, Math.floor(Math.log(Math.max(value, 1)) / Math.log(1000)));
  const size = (value / 1000 ** power).toLocaleString(document.documentElement.lang, {
    maximumSignificantDigits: 3,
  });
  return `${size}\u00a0${["", "k", "M", "G"][power]}B/s`;
}

document.addEventListener("visibilitychange", () => (document.hidden ? rest() : source || watch()));
watch();
