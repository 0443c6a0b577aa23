// The jobs of this user: their bars move with the stream, and whatever was missed is asked for.

const page = /** @type {HTMLElement} */ (document.querySelector("[data-tasks]"));
const { topic = "", states = "", left = "" } = page.dataset;
const list = /** @type {HTMLElement} */ (page.querySelector("[data-jobs]"));
const blank = /** @type {HTMLTemplateElement} */ (page.querySelector("template"));
const status = /** @type {HTMLElement} */ (page.querySelector("[data-status]"));
const { lang } = document.documentElement;

/**
 * @typedef {{ percent: number | null, message: string, eta: number | null }} Progress
 * @typedef {Progress & { pk: number, name: string, state: string, label: string, result: string, cancel: string, notification: number | "" }} Job
 */

/** @param {Element} row @param {string} part @returns {any} */
const find = (row, part) => row.querySelector(part);

/** @param {Element} row @param {Progress} progress */
function move(row, { percent, message, eta }) {
  find(row, "progress").value = percent ?? 0;
  find(row, "[data-part=message]").textContent = message;
  const unit = (eta ?? 0) < 90 ? "second" : "minute";
  const time = Math.round((eta ?? 0) / (unit === "second" ? 1 : 60)).toLocaleString(lang, {
    style: "unit",
    unit,
    unitDisplay: "long",
  });
  find(row, "[data-part=eta]").textContent = eta === null ? "" : left.replace("{time}", time);
}

/** @param {Job} job */
function show(job) {
  let row = list.querySelector(`[data-job="${job.pk}"]`);
  if (!row) {
    row = /** @type {Element} */ (document.importNode(blank.content, true).firstElementChild);
    row.setAttribute("data-job", String(job.pk));
    const after = [...list.children].find(
      (other) => Number(other.getAttribute("data-job")) < job.pk,
    );
    list.insertBefore(row, after ?? null);
  }
  row.setAttribute("data-state", job.state);
  find(row, "[data-part=name]").textContent = job.name;
  find(row, "[data-part=label]").textContent = job.label;
  find(row, "progress").setAttribute("aria-label", job.name);
  move(row, job);
  const [result, form] = [find(row, "[data-part=result]"), find(row, "form")];
  result.href = job.result;
  result.hidden = !job.result;
  form.action = job.cancel;
  form.hidden = !job.cancel;
  form.elements.ids.value = job.notification;
}

let heard = performance.now();

async function refresh() {
  heard = performance.now();
  const answer = await fetch(states, { mode: "same-origin" }).catch(() => null); // the server may be away; the stream says so
  if (!answer?.ok) return;
  const { jobs } = await answer.json();
  for (const job of jobs) show(job);
  for (const row of [...list.children]) {
    if (!jobs.some((/** @type {Job} */ { pk }) => String(pk) === row.getAttribute("data-job")))
      row.remove();
  }
}

// Not a stream of its own: that of the bell, which all tabs of a browser share.
const { client } = /** @type {any} */ (document.querySelector("sse-notify"));
const source = client.eventSource(topic);
source.addEventListener("progress", (/** @type {any} */ { data }) => {
  const progress = JSON.parse(data);
  const row = list.querySelector(`[data-job="${progress.key.replace("job:", "")}"]`);
  if (progress.state !== "running" || row?.getAttribute("data-state") !== "running")
    return void refresh();
  heard = performance.now();
  move(row, progress);
});
// A job begins or ends with a notification, so it is in the bell too, and is not lost.
source.addEventListener("notification", (/** @type {any} */ { data }) => {
  if (JSON.parse(data).key.startsWith("job:")) refresh();
});
source.addEventListener("open", async () => {
  await refresh();
  if (source.readyState === 1) status.dataset.status = "open";
});
source.addEventListener("error", () => {
  status.dataset.status = source.readyState === source.CLOSED ? "failed" : "waiting";
});
// A worker that is dead says nothing: if it is quiet for long, the server says what it knows.
setInterval(() => {
  if (source.readyState === source.CLOSED) return;
  if (
    list.querySelector("[data-state=running], [data-state=stalled]") &&
    performance.now() - heard > 2500
  )
    refresh();
}, 1000);

// The forms work without this script, too.
page.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.matches("[data-start]")) return;
  event.preventDefault();
  await fetch(form.action, {
    mode: "same-origin",
    method: "POST",
    body: new FormData(form),
    redirect: "manual",
  });
  await refresh();
});
