// The types of sse-notify.js. `import { SseNotifyClient } from "..."` works in pages, and in Node without one.

export type Level = "debug" | "info" | "success" | "warning" | "error";

/** A notification, as the server tells it. */
export interface Item {
  id: number;
  /** Its number in the log; `null` in a list while it has none yet. It grows when the item is sent again under its key. */
  seq: number | null;
  /** How often it was sent under its key; 1 at first. */
  count: number;
  /** ISO 8601, as all times. */
  created_at: string;
  /** How far long work is; `null` if it is none. */
  progress: Progress | null;
  // What `python -m tests.support.fields` writes:
  title: string;
  body: string;
  /** How serious the notification is. */
  level: Level;
  /** Where a click leads: a path on this site, or a full URL. */
  url: string;
  /** Users can filter their notifications by category. */
  category: string;
  /** The URL of a small image. */
  icon: string;
  /** Its buttons. */
  actions: { label: string; url: string; method?: string }[];
  /** Who did it; `null` if the sender named nobody, or the model is gone. */
  actor: Instance | null;
  /** The name, which outlives the object; empty if there is none. */
  actor_name: string;
  /** What it was done to, likewise. */
  target: Instance | null;
  target_name: string;
  /** A repeat with this key updates the same item. */
  key: string;
  /** From then on, it is neither shown nor counted. */
  expires_at: string | null;
  /** What the project sent along: any JSON. Never rendered. */
  data: unknown;
  /** Listed and counted, but not announced. */
  silent: boolean;
  // end
  /** Whether the user has muted its category; it is silent then, too, and neither counted, unread nor unseen. */
  muted?: boolean;
  /** In a list: what the user has done with it. */
  unread?: boolean;
  unseen?: boolean;
}

/** An object of the project's own. */
export interface Instance {
  /** Its model, as Django writes it: `shop.order`. */
  type: string;
  /** Its primary key as text. */
  id: string;
  /** Its name when it was sent. */
  name: string;
}

/** How far long work is. Times are in seconds. */
export interface Progress {
  state: "running" | "done" | "failed" | "cancelled" | "stalled";
  done: number | null;
  total: number | null;
  percent: number | null;
  stage: string;
  message: string;
  eta: number | null;
  /** Missing after the end, as is `stalls_in`. */
  cancellable?: boolean;
  stalls_in?: number | null;
}

export interface Counts {
  unread: number;
  unseen: number;
}

/**
 * A page of the inbox, newest first; `next` is the `before` of the page after it, `key` stands for its user, as in the client's options.
 */
export interface Page extends Counts {
  items: Item[];
  next: number | string | null;
  key: string;
}

/** The user did something, here or elsewhere; either `ids` or `up_to` says to which. */
export interface Update extends Counts {
  ids?: number[];
  up_to?: number;
  set: "read" | "unread" | "seen" | "archived" | "unarchived";
  state_seq: number | null;
  /** The `id` of the client that asked, or "". */
  client: string;
}

/** Items that are gone: they were recalled. One message for all who had them, so that it carries no counts; the client asks for them. */
export interface Removal extends Partial<Counts> {
  ids: number[];
  state_seq?: number | null;
}

/** An event as it stands in the stream; `id` is that of its own block. */
export interface StreamMessage {
  event: string;
  data: string;
  id: string | null;
  /** What it was published under, if that is not its name. */
  topic?: string;
}

export type State =
  | "idle"
  | "connecting"
  | "open"
  /** Between two tries. */
  | "waiting"
  /** Another tab of this browser has the stream. */
  | "follower"
  /** The server, or something on the way to it, does not stream; news come a little later. */
  | "polling"
  | "offline"
  /** Signed out; it does not come back by itself. */
  | "unauthorized"
  | "stopped";

export interface ClientEvents {
  /** New, or sent again under its key. `replayed`: it was sent while this page was not listening. */
  notification: Item & { seq: number; replayed: boolean };
  update: Update;
  remove: Removal;
  counts: Counts;
  /**
   * `since` is in milliseconds since 1970. `status` is the HTTP status of the last answer if the last attempt to open the stream failed; 0
   * without an answer, and while the stream is open. 200: the answer was no stream.
   */
  state: { state: State; since: number; status: number };
  /** What is shown may be out of date: fetch the newest items. The reason is the server's, or "invalid": an event could not be handled. */
  reset: { reason: string };
  /** Any other named event: of a topic, or a notification's own. */
  event: StreamMessage;
  /** Topics that `eventSource()` asked for are not this user's; the stream goes on without them. */
  forbidden: { topics: string[] };
  error: Error;
}

export interface ClientOptions {
  urls: Record<"stream" | "state" | "items" | "read" | "unread" | "seen" | "archive", string> & {
    unarchive?: string;
  };
  /** Tells this user from others in the same browser, and says nothing else. Without it the first answer tells it, and no tabs share. */
  key?: string;
  /** The number up to which everything is known; without one the stream starts now. */
  cursor?: number | null;
  /** The number of the inbox's last change that is known; `null`: there was none. */
  stateSeq?: number | null;
  unread?: number;
  unseen?: number;
  /** Returns Django's CSRF token, which marks need. */
  csrf?: () => string;
  csrfHeader?: string;
  /** Further topics to listen to. */
  topics?: string[];
  /** Whether the tabs of a browser share one stream. Default: true. */
  share?: boolean;
  /**
   * "eventsource": the browser's own EventSource, or a polyfill's, opens the stream, as it does where `fetch` cannot stream. It sends cookies,
   * but no headers.
   */
  transport?: "fetch" | "eventsource";
  /** Where sse-notify-eventsource.js is; beside this script by default. */
  eventSource?: string;
  fetch?: typeof globalThis.fetch;
  clock?: {
    now(): number;
    setTimeout(fn: () => void, ms: number): unknown;
    clearTimeout(timer: unknown): void;
  };
  random?: () => number;
}

/** A user's notifications without a page. */
export declare class SseNotifyClient {
  constructor(options: ClientOptions);
  /** Names this page in the `update` events that its own marks cause. */
  readonly id: string;
  readonly state: State;
  readonly cursor: number | null;
  readonly counts: Counts;
  /** Whether this tab has the stream: true in one tab of a browser, and in each where tabs do not share. */
  readonly leading: boolean;
  start(): void;
  /** `start()` goes on from where it was. */
  stop(): void;
  /** Returns what stops it. */
  on<Type extends keyof ClientEvents>(
    type: Type,
    listener: (value: ClientEvents[Type]) => void,
  ): () => void;
  /** Marks and lists reject with an SseNotifyError. */
  list(query?: {
    before?: number | string;
    category?: string;
    state?: "unread" | "archived";
    limit?: number;
  }): Promise<Page>;
  markRead(ids: number[]): Promise<Counts>;
  markUnread(ids: number[]): Promise<Counts>;
  /** Up to a `seq`; all that were heard so far, if none is given. */
  markSeen(upTo?: number | null): Promise<Counts>;
  /** All that were heard so far; what arrives meanwhile stays unread. */
  markAllRead(): Promise<Counts>;
  archive(ids: number[]): Promise<Counts>;
  /** Take items back from the archive; it needs `urls.unarchive`. */
  unarchive(ids: number[]): Promise<Counts>;
  /** An EventSource that is fed by this client's stream, which listens to the topics as well from now on. Starts the client. */
  eventSource(...topics: string[]): SharedEventSource;
  /** Fetch the counts soon, once for all who ask. */
  refresh(): void;
}

/** What others use as an EventSource, over the one stream of a client. */
export interface SharedEventSource extends EventTarget {
  readonly CONNECTING: number;
  readonly OPEN: number;
  readonly CLOSED: number;
  readonly readyState: number;
  readonly url: string;
  readonly withCredentials: boolean;
  readonly lastEventId: string;
  onopen: ((event: Event) => unknown) | null;
  /** Events without a name, and those of the topics that it was made for; these come under their own name as well. */
  onmessage: ((event: MessageEvent) => unknown) | null;
  onerror: ((event: Event) => unknown) | null;
  close(): void;
}

export declare class SseNotifyError extends Error {
  /** The HTTP status; 0: no answer. It may be 200, if the answer is not what was asked for. */
  readonly status: number;
  /** The server's word for scripts, such as "forbidden". */
  readonly code: string;
  /** Milliseconds. */
  readonly retryAfter: number | null;
  /** Which of several topics is refused. */
  readonly topic?: string;
}

/** The event stream format of the HTML standard, for streams of your own. */
export declare class EventStreamParser {
  constructor(onEvent: (message: StreamMessage) => void, onRetry?: (milliseconds: number) => void);
  readonly lastEventId: string;
  feed(chunk: string | Uint8Array): void;
}

export interface FetchEventStreamOptions extends Omit<RequestInit, "body" | "window"> {
  /** A plain object or a list is sent as JSON; everything else as `fetch` sends it. With one, `method` is "POST" by default. */
  body?: BodyInit | object | null;
  /**
   * Called with each event, in order. The next is not read before what it returns is there; `false` says that this was the last. What it
   * throws ends the stream.
   */
  onEvent?: (message: StreamMessage) => unknown;
  /** Called with each answer that is a stream, before it is read. */
  onOpen?: (response: Response) => void;
  /** Called with what is tried again. */
  onError?: (error: Error) => void;
  /**
   * Whether to send the request again, with `Last-Event-ID`, when the stream breaks or ends: after a random time that grows, and no earlier
   * than `retry:` or `Retry-After` say. Default: false, as what is posted may not be meant twice.
   *
   * A URL: where to go on. All requests after the first are GET requests to it, without a body, also if there was no event yet.
   */
  resume?: boolean | string | URL;
  /**
   * A key under which `sessionStorage` keeps the last event id until the stream is complete. The next call with this key and without a body,
   * such as after a reload of the page, goes on after that event.
   */
  resumeFrom?: string;
  /** Where to go on from, whatever is kept. */
  lastEventId?: string;
  /** Django's CSRF token, or what returns it; by default that of the page's cookie, or of a form in it. */
  csrf?: string | (() => string | null | undefined);
  /** Default: "X-CSRFToken". */
  csrfHeader?: string;
  fetch?: typeof globalThis.fetch;
  clock?: ClientOptions["clock"];
  random?: () => number;
}

/**
 * Read an event stream of your own, event by event. Resolves to the last event id when it has ended; rejects with an SseNotifyError if the
 * answer is none, with what `fetch` rejects with if the network fails or the signal ends it.
 */
export declare function fetchEventStream(
  url: string | URL,
  options?: FetchEventStreamOptions,
): Promise<string>;

/** Where a notification may link to; "" if it must not be a link. */
export declare function safeUrl(
  text: string | null | undefined,
  base?: string,
  external?: boolean,
): string;

/** `<sse-notify>`, which brings the server's markup to life. */
export declare class SseNotifyElement extends HTMLElement {
  readonly client: SseNotifyClient | undefined;
  open(): void;
  close(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "sse-notify": SseNotifyElement;
  }
}
