// The ticker: takes what comes as fast as it comes, and draws once for each frame of the screen.

const page = /** @type {HTMLElement} */ (document.querySelector("[data-ticker]"));
const { stream = "" } = page.dataset;
const rates = /** @type {HTMLFormElement} */ (page.querySelector("[data-rates]"));
const flood = /** @type {HTMLFormElement} */ (page.querySelector("[data-flood]"));
const status = /** @type {HTMLElement} */ (page.querySelector("[data-status]"));
const POINTS = 80; // of each line

/** The shares, as the page shows them. @type {Map<string, { row: Element, first: number, last: number, points: number[] }>} */
const shares = new Map();
for (const row of /** @type {NodeListOf<HTMLElement>} */ (page.querySelectorAll("[data-share]"))) {
  shares.set(row.dataset.share ?? "", { row, first: 0, last: 0, points: [] });
}
/** What has come since the last frame; a share that moved ten times is drawn once. @type {Map<string, number>} */
const fresh = new Map();
const counted = { updates: 0, frames: 0, lost: 0 };
/** @type {EventSource | undefined} */
let source;

const format = new Intl.NumberFormat(document.documentElement.lang, {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});

/** @param {string} topic */
function watch(topic) {
  source?.close();
  source = undefined;
  status.dataset.status = topic ? "connecting" : "closed";
  if (!topic) return;
  // A stream of its own, beside that of the bell: it is closed when nobody watches, and then the server computes nothing.
  source = new EventSource(`${stream}?topic=${topic}`);
  source.addEventListener("open", () => {
    status.dataset.status = "open";
  });
  source.addEventListener("error", () => {
    // It comes back by itself, unless the server refuses.
    status.dataset.status = source?.readyState === EventSource.CLOSED ? "failed" : "waiting";
  });
  source.addEventListener("prices", (event) => {
    counted.updates += 1;
    if (!fresh.size) requestAnimationFrame(draw);
    for (const [share, price] of Object.entries(JSON.parse(event.data).prices))
      fresh.set(share, price);
  });
  // This client was slower than its stream: the server dropped the oldest, and says how many.
  source.addEventListener("lost", (event) => {
    counted.lost += JSON.parse(event.data).count;
    figure("lost", counted.lost);
  });
}

function draw() {
  counted.frames += 1;
  for (const [name, price] of fresh) {
    const share = shares.get(name);
    if (!share) continue;
    share.first ||= price;
    const part = /** @type {(name: string) => Element} */ (
      (which) => share.row.querySelector(`[data-${which}]`)
    );
    part("price").textContent = format.format(price);
    const change = (100 * (price - share.first)) / share.first;
    part("change").textContent = `${change < 0 ? "−" : "+"}${format.format(Math.abs(change))} %`;
    share.row.setAttribute("data-moved", price < share.last ? "down" : "up");
    share.last = price;
    share.points = [...share.points, price].slice(-POINTS);
    part("line").setAttribute("points", line(share.points));
  }
  fresh.clear();
}

/** Return the points of a line in a box of 100 by 24. @param {number[]} prices */
function line(prices) {
  const low = Math.min(...prices);
  const span = Math.max(...prices) - low || 1;
  return prices
    .map(
      (price, n) => `${(100 * n) / (POINTS - 1)},${(22 - (20 * (price - low)) / span).toFixed(1)}`,
    )
    .join(" ");
}

/** @type {(name: string, value: number) => void} */
function figure(name, value) {
  const place = /** @type {HTMLElement} */ (page.querySelector(`[data-figure=${name}]`));
  place.textContent = value.toLocaleString(document.documentElement.lang);
}

setInterval(() => {
  figure("updates", counted.updates);
  figure("frames", counted.frames);
  counted.updates = counted.frames = 0;
}, 1000);

const chosen = () => String(new FormData(rates).get("rate") ?? "");
const begin = () => watch(chosen() && `ticker.${chosen()}`);
rates.addEventListener("change", begin);
flood.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = new FormData(flood);
  body.set("rate", chosen());
  await fetch(flood.action, { mode: "same-origin", method: "POST", body });
});
begin();
