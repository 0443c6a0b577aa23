// Conversations, beside each other. The server keeps them; this page shows them, and reads the answers that are being written.
import { fetchEventStream } from "../sse_notify/sse-notify.js";
import { copy, find, isOnItsWay, Said } from "./said.js";

/**
 * @typedef {{ pk: number, is_answer: boolean, content: string, links: Link[], state: string, run: number | null }} Message
 * @typedef {import("./said.js").Link} Link
 */

const place = /** @type {HTMLElement} */ (document.getElementById("conversations"));
const another = /** @type {HTMLElement} */ (document.getElementById("another"));
const status = /** @type {HTMLElement} */ (document.querySelector("[data-status]"));
const { url = "", topic = "", most = "" } = place.dataset;
const LOOK_MS = 500;
const RETRY_MS = 3000;

/** Send something that changes a conversation; return the answer, if the server has taken it. */
async function send(
  /** @type {string} */ method,
  /** @type {string} */ where,
  /** @type {any} */ body,
) {
  const token = /** @type {HTMLInputElement} */ (find(place, "[name=csrfmiddlewaretoken]")).value;
  const answer = await fetch(where, {
    method,
    mode: "same-origin",
    headers: { "X-CSRFToken": token },
    body: body ? JSON.stringify(body) : null,
  }).catch(() => null);
  return answer?.ok ? answer : null;
}

class Conversation {
  card = copy("conversation");
  form = /** @type {HTMLFormElement} */ (this.card.querySelector("form"));
  field = /** @type {HTMLTextAreaElement} */ (this.card.querySelector("textarea"));
  list = find(this.card, ".said-list");
  /** @type {Map<number, Said>} */
  shown = new Map();
  /** The answer and the run that are read. @type {{ pk: number, run: number, aborter: AbortController } | null} */
  reader = null;
  /** The last run that was read to its end. */
  ended = 0;

  /** @param {number} pk */
  constructor(pk) {
    this.url = `${pk}/`;
    this.card.dataset.conversation = String(pk);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    for (const idea of this.card.querySelectorAll("[data-ask]")) {
      idea.addEventListener("click", () => {
        this.field.value = idea.textContent ?? "";
        this.form.requestSubmit();
      });
    }
    find(this.card, "[data-stop]").addEventListener("click", () => this.#send("DELETE", "answer/"));
    find(this.card, "[data-delete]").addEventListener("click", () => this.#send("DELETE", ""));
    place.append(this.card);
  }
  get #inWorker() {
    return /** @type {HTMLInputElement} */ (this.form.elements.namedItem("worker")).checked;
  }
  async #send(
    /** @type {string} */ method,
    /** @type {string} */ where,
    /** @type {any} */ body = null,
  ) {
    const isTaken = await send(method, this.url + where, body);
    find(this.card, ".ask__failed").hidden = Boolean(isTaken);
    await load();
    return isTaken;
  }
  async #ask() {
    const content = this.field.value.trim();
    if (!content || find(this.card, "[data-send]").hidden) return;
    this.#busy(true); // a second Enter asks nothing
    if (await this.#send("POST", "answer/", { content, worker: this.#inWorker })) this.form.reset();
    else this.#busy(false);
    this.field.focus({ preventScroll: true });
  }
  #goOn() {
    return this.#send("POST", `go-on/${this.#inWorker ? "?worker=1" : ""}`);
  }
  #busy(/** @type {boolean} */ is) {
    find(this.card, "[data-send]").hidden = is;
    find(this.card, "[data-stop]").hidden = !is;
  }
  /** Do something to the list; stay at its end if it is there. */
  #follow(/** @type {() => void} */ change) {
    const follows = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 40;
    change();
    if (follows) this.list.scrollTop = this.list.scrollHeight;
  }

  /** Show what the server keeps, and read what is being written. @param {Message[]} messages */
  show(messages) {
    const last = messages.at(-1);
    // The run has ended since the server said so.
    if (last?.run && last.run === this.ended) return void loadLater();
    this.#follow(() => {
      for (const message of messages) this.#show(message, message === last);
    });
    this.#busy(isOnItsWay(last?.state ?? ""));
    if (last?.state === "waiting") loadLater(); // a worker begins it
    if (last?.state === "running" && last.run) this.#read(last, last.run);
  }
  /** @param {Message} message @param {boolean} isLast */
  #show(message, isLast) {
    const said = this.shown.get(message.pk) ?? new Said(message.is_answer);
    if (!this.shown.has(message.pk)) find(this.card, "ol").append(said.item);
    this.shown.set(message.pk, said);
    find(said.item, "[data-go-on]").onclick = () => this.#goOn();
    if (message.state === "running") return void said.be("running"); // its text is read from the run
    if (this.reader?.pk === message.pk) this.close(); // the server has the rest, and the end
    said.become(message.content);
    said.link(message.links);
    said.be(message.state, isLast);
  }

  /** Read a run from its first word to its end. @param {Message} message @param {number} run */
  async #read(message, run) {
    if (this.reader?.run === run) return;
    this.close();
    const said = /** @type {Said} */ (this.shown.get(message.pk));
    const reader = { pk: message.pk, run, aborter: new AbortController() };
    this.reader = reader;
    said.set(message.content, "replayed");
    let stored = 0;
    let state = "";
    try {
      await fetchEventStream(`${this.url}answer/`, {
        resume: true,
        signal: reader.aborter.signal,
        // What is stored by now is replayed; what comes later, live. After a cut it begins anew.
        onOpen: (response) => {
          stored = Number(response.headers.get("Run-Stored"));
        },
        onEvent: ({ event, data, id }) => {
          const [of, number] = (id ?? "").split("-").map(Number);
          if (of !== run) return false; // it went on in another one
          this.#follow(() => {
            if (event === "message")
              said.hear(JSON.parse(data).text, Number(number) > stored ? "live" : "replayed");
            else if (event === "sources") said.link(JSON.parse(data).links);
            else state = event;
          });
        },
      });
    } catch {
      // The server refuses, or the conversation is closed: it says what it knows.
    }
    if (this.reader !== reader) return;
    this.reader = null;
    if (state) {
      this.ended = run;
      this.#busy(false);
      this.#follow(() => said.be(state));
    } else loadLater();
  }
  /** Read no more. */
  close() {
    this.reader?.aborter.abort();
    this.reader = null;
  }
}

/** @type {Map<number, Conversation>} */
const open = new Map();

/** @type {Promise<void> | null} */
let loading = null;
let isAskedFor = false;
let timer = 0;

/** Load after a while, once. */
const loadLater = (ms = LOOK_MS) => {
  clearTimeout(timer);
  timer = setTimeout(load, ms);
};

async function look() {
  try {
    while (isAskedFor) {
      isAskedFor = false;
      const answer = await fetch(url, { mode: "same-origin", redirect: "error" }).catch(() => null);
      if (answer?.ok) await show((await answer.json()).conversations);
      // The server is away; or the visitor has left, and the stream says so.
      else if (source.readyState !== source.CLOSED) loadLater(RETRY_MS);
    }
  } finally {
    loading = null;
  }
}
/** Ask for the conversations, and show them. One answer at a time, and the last one is the newest. */
function load() {
  isAskedFor = true;
  loading ??= look();
  return loading;
}
/** @param {{ pk: number, messages: Message[] }[]} conversations */
async function show(conversations) {
  // A visitor starts with one.
  if (!conversations.length && (await send("POST", url, null))) isAskedFor = true;
  for (const { pk, messages } of conversations) {
    const conversation = open.get(pk) ?? new Conversation(pk);
    open.set(pk, conversation);
    conversation.show(messages);
  }
  for (const [pk, conversation] of open) {
    if (conversations.some((kept) => kept.pk === pk)) continue;
    conversation.close();
    conversation.card.remove();
    open.delete(pk);
  }
  another.hidden = open.size >= Number(most);
}
another.addEventListener("click", async () => {
  await send("POST", url, null);
  await load();
  [...open.values()].at(-1)?.field.focus();
});

// Another tab asks, stops, goes on. Not a stream of its own: that of the bell, which all tabs of a browser share.
const { client } = /** @type {any} */ (document.querySelector("sse-notify"));
const source = client.eventSource(topic);
source.addEventListener("changed", load);
source.addEventListener("open", async () => {
  await load(); // what was missed
  if (source.readyState === 1) status.dataset.status = "open";
});
source.addEventListener("error", () => {
  status.dataset.status = source.readyState === source.CLOSED ? "failed" : "waiting";
});
load();
