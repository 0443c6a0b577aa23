// The types of sse-notify.js. `import { SseNotifyClient } from "..."` works in pages, and in Node without one.

export type Level = "debug" | "info" | "success" | "warning" | "error";

/** A notification, as the server tells it. */
export interface Item {
  id: number;
  /** Its number in the log; `null` in a list while it has none yet. It grows when the item is sent again under its key. */
  seq: number | null;
  title: string;
  body: string;
  level: Level;
  url: string;
  category: string;
  icon: string;
  actions: { label: string; url: string; method?: string }[];
  actor: string;
  target: string;
  key: string;
  /** How often it was sent under its key; 1 at first. */
  count: number;
  /** ISO 8601, as is `expires_at`. */
  created_at: string;
  expires_at: string | null;
  /** What the project sent along. Never rendered. */
  data: unknown;
  silent: boolean;
  /** Whether the user has muted its category; it is silent then, too, and neither counted, unread nor unseen. */
  muted?: boolean;
  /** In a list: what the user has done with it. */
  unread?: boolean;
  unseen?: boolean;
}

export interface Counts {
  unread: number;
  unseen: number;
}

/** A page of the inbox, newest first; `next` is the `before` of the page after it. */
export interface Page extends Counts {
  items: Item[];
  next: number | null;
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
  /** `since` is in milliseconds since 1970. */
  state: { state: State; since: number };
  /** What is shown may be out of date: fetch the newest items. */
  reset: { reason: string };
  /** Any other named event: of a topic, or a notification's own. */
  event: StreamMessage;
  error: Error;
}

export interface ClientOptions {
  urls: Record<"stream" | "state" | "items" | "read" | "unread" | "seen" | "archive", string> & { unarchive?: string };
  /** Tells this user from others in the same browser, and says nothing else. Without it no tabs share. */
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
  fetch?: typeof globalThis.fetch;
  clock?: { now(): number; setTimeout(fn: () => void, ms: number): unknown; clearTimeout(timer: unknown): void };
  random?: () => number;
  env?: unknown;
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
  on<Type extends keyof ClientEvents>(type: Type, listener: (value: ClientEvents[Type]) => void): () => void;
  /** Marks and lists reject with an SseNotifyError. */
  list(query?: { before?: number; category?: string; state?: "unread" | "archived"; limit?: number }): Promise<Page>;
  markRead(ids: number[]): Promise<Counts>;
  markUnread(ids: number[]): Promise<Counts>;
  /** Up to a `seq`; all that were heard so far, if none is given. */
  markSeen(upTo?: number | null): Promise<Counts>;
  /** All that were heard so far; what arrives meanwhile stays unread. */
  markAllRead(): Promise<Counts>;
  archive(ids: number[]): Promise<Counts>;
  /** Take items back from the archive; it needs `urls.unarchive`. */
  unarchive(ids: number[]): Promise<Counts>;
  /** Fetch the counts soon, once for all who ask. */
  refresh(): void;
}

export declare class SseNotifyError extends Error {
  /** The HTTP status; 0: no answer, or none that makes sense. */
  readonly status: number;
  /** The server's word for scripts, such as "forbidden". */
  readonly code: string;
  /** Milliseconds. */
  readonly retryAfter: number | null;
}

/** The event stream format of the HTML standard, for streams of your own. */
export declare class EventStreamParser {
  constructor(onEvent: (message: StreamMessage) => void, onRetry?: (milliseconds: number) => void);
  readonly lastEventId: string;
  feed(chunk: string | Uint8Array): void;
}

/** Where a notification may link to; "" if it must not be a link. */
export declare function safeUrl(text: string | null | undefined, base?: string, external?: boolean): string;

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
