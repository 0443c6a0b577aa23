// The admin's live page: its numbers follow the reports on the stream. Without it the page shows how things were when it was loaded.

const AGAIN_MS = 5000;
const OLD_MS = 10000;

const root = document.querySelector(".ssen-live");
let oldTimer;

function show(state) {
  for (const part of root.querySelectorAll("[data-when]")) {
    part.hidden = part.dataset.when !== state;
  }
}

/** Write `values` as text into the parts of `place` that name one; write nothing that is there already. */
function fill(place, values) {
  for (const part of place.querySelectorAll("[data-of]")) {
    const text = String(values[part.dataset.of] ?? "–");
    if (part.textContent !== text) {
      part.textContent = text;
    }
  }
  for (const part of place.querySelectorAll("[data-if]")) {
    part.hidden = !values[part.dataset.if];
  }
}

/** Make the rows of a table what `list` says. A row that stays is kept, and with it the focus on its button. */
function fillTable(name, list) {
  const body = root.querySelector(`[data-rows="${name}"]`);
  const template = root.querySelector(`[data-row="${name}"]`);
  const rows = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let next = body.firstElementChild;
  for (const values of list) {
    const row = rows.get(values.key) ?? template.content.firstElementChild.cloneNode(true);
    rows.delete(values.key);
    if (row === next) {
      next = next.nextElementSibling;
    } else {
      body.insertBefore(row, next);
    }
    row.dataset.key = values.key;
    for (const button of row.querySelectorAll("button")) {
      button.value = values.key;
    }
    fill(row, values);
  }
  for (const row of rows.values()) {
    row.remove();
  }
  root.querySelector(`[data-none="${name}"]`).hidden = list.length > 0;
}

function take(report) {
  fill(root.querySelector("[data-totals]"), report.totals);
  fillTable("hubs", report.hubs);
  if (!("query" in root.dataset)) {
    fillTable("users", report.users);
    root.querySelector("[data-more]").hidden = !report.more;
  }
  show("live");
  clearTimeout(oldTimer);
  oldTimer = setTimeout(show, OLD_MS, "lost");
}

function open() {
  const source = new EventSource(
    `${root.dataset.stream}?topic=${encodeURIComponent(root.dataset.topic)}`,
  );
  source.addEventListener(root.dataset.topic, (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // The browser comes back by itself unless the answer was no stream: the process is full, or the session is over.
    if (source.readyState === EventSource.CLOSED) {
      show("lost");
      setTimeout(open, AGAIN_MS);
    }
  });
}

open();
