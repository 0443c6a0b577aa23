// Reads an event stream with another package's reader: `node foreign.mjs NAME URL HEADERS LAST_ID`. It prints a line of JSON for each
// event, and {"refused": status} if the server refuses.
import { fetchEventSource } from "@microsoft/fetch-event-source";
import polyfill from "event-source-polyfill";
import { EventSource } from "eventsource";
import { createEventSource } from "eventsource-client";
import { EventSourceParserStream } from "eventsource-parser/stream";

/** What the stream may send; an EventSource has listeners for names that it knows. */
const NAMES = ["message", "hello", "notification", "ping", "reset", "bye", "wall", "slow", "error"];

const [name, url, json, lastId] = process.argv.slice(2);
const headers = JSON.parse(json);

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const say = ({ event, type, data, id, lastEventId }) =>
  print({ event: event || type || "message", data, id: id || lastEventId || null });
const refused = (status) => print({ refused: status });

/** `fetch` with the headers, for readers that take none. */
const withHeaders = (input, init) =>
  fetch(input, { ...init, headers: { ...init.headers, ...headers } });

/** Listen to everything that an EventSource says. */
function listen(source, statusOf) {
  for (const type of NAMES) {
    source.addEventListener(type, (event) => {
      if (event.data !== undefined) say(event);
      else if (statusOf(event) >= 400) refused(statusOf(event));
    });
  }
}

/** The address for a reader that cannot be told an id at its start. */
const since = (parameter) => (lastId ? `${url}&${parameter}=${lastId}` : url);

const readers = {
  eventsource() {
    listen(new EventSource(since("cursor"), { fetch: withHeaders }), ({ code }) => code);
  },

  "event-source-polyfill"() {
    const source = new polyfill.EventSourcePolyfill(since("lastEventId"), { headers });
    listen(source, ({ status }) => status);
  },

  "eventsource-client"() {
    createEventSource({
      url,
      headers,
      initialLastEventId: lastId || undefined,
      onMessage: say,
      fetch: async (input, init) => {
        const response = await fetch(input, init);
        if (!response.ok) refused(response.status);
        return response;
      },
    });
  },

  async "eventsource-parser"() {
    const id = lastId ? { "Last-Event-ID": lastId } : {};
    const response = await fetch(url, { headers: { ...headers, ...id } });
    if (!response.ok) return refused(response.status);
    const events = response.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream());
    for await (const event of events) say(event);
  },

  "fetch-event-source"() {
    // It is made for pages.
    globalThis.window = globalThis;
    globalThis.document = new EventTarget();
    return fetchEventSource(url, {
      headers: lastId ? { ...headers, "last-event-id": lastId } : headers,
      openWhenHidden: true,
      async onopen({ status }) {
        if (status !== 200) refused(status);
      },
      onmessage: say,
      onerror() {
        return 100;
      },
    });
  },
};

setInterval(() => {}, 60_000); // one of them lets Node end while it waits for its next attempt
await readers[name]();
