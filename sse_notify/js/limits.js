/** Every number that the scripts wait, count or measure by. Times are in milliseconds. */

export const TIMER_MAX = 86_400_000; // a timer of more than 24 days would fire at once

// The stream, and the way back to it.
export const WATCH_EVERY = 5_000; // between two looks at the clock
export const SILENCE = 45_000; // without a byte, at least, before a connection counts as dead
export const HELLO_WITHIN = 10_000; // of the request; a later `hello` was buffered on its way
export const STABLE_AFTER = 30_000; // a connection that lasts so long resets the backoff
export const STREAMS_AFTER = 2_000; // a server that ends its streams would have ended this one
export const RETRY = 3_000; // if the server names no time
export const RETRY_MIN = 250;
export const RETRY_HIDDEN = 30_000; // at least, in a hidden page whose server ends its streams
export const RETRY_BUFFERED = 60_000; // before a new stream replaces one that is buffered
export const GIVE_UP_HIDDEN = 600_000; // of failures in a hidden page, until it is visible
export const ONLINE_SPREAD = 2_000; // within which the clients of a network come back
export const BACKOFF_BASE = 1_000;
export const BACKOFF_MAX = 60_000;
export const HINT_MAX = 600_000; // for a time that the server asks for
export const BLOCK_MAX = 1_048_576; // characters of an event, as MAX_EVENT_BYTES of sse/format.py
export const BLOCK_END = 16_777_216; // of an event that is broken or hostile

// Tabs that share a stream.
export const ASK_EVERY = 10_000; // between two questions of a visible tab to the leader
export const WATCHED = 20_000; // after such a question, a hidden leader counts as visible
export const ANSWER_WITHIN = 750; // twice that, and what a new stream takes, must be less than 2 s
export const MISSES = 2; // questions without an answer, before the lock is stolen
export const PARK_AFTER = 10_000; // before a hidden page that cannot share closes its stream

// What is fetched beside the stream.
export const POLL_EVERY = 5_000; // at least, while the stream is buffered
export const REFRESH_AFTER = 250; // at least, so that one request serves all who ask for the counts
export const REFRESH_FAILED = 5_000; // at least, before the next attempt
export const PAGE = 100; // items, the most that the server sends
export const FRESH_MAX = 1_000; // ids of unread items that are remembered

// The widget.
export const FRAME_HIDDEN = 200; // before a hidden page is drawn, which gets no animation frames
export const TICK = 30_000; // between two drawings while nothing happens
export const STATUS_AFTER = 10_000; // before the user is told of a broken connection
export const LOAD_AFTER = 1_000; // so that the page itself loads first
export const SEEN_AFTER = 1_000; // in an open panel
export const EXPIRE_WITHIN = 3_600_000; // between two looks at what expires
export const UNDO_FOR = 8_000;
export const OUTLIVES = 1_000; // how long a client outlives its last bell
export const PAGE_SHOWN = 20; // items, if the tag names no number
export const ITEMS_MAX = 200; // in the list
export const COUNT_MAX = 99; // a badge says "99+" for more
export const EDGE = 8; // pixels between the panel and what is beside it
export const ROOM = 240; // pixels below the bell; with less, the panel may open above it

// What arrives.
export const TOASTS = 3; // at once
export const TOAST_STAYS = 8_000; // after the last one came
export const ANNOUNCE_AFTER = 1_000; // during which titles are collected
export const ANNOUNCE_EVERY = 5_000; // so that a screen reader is not interrupted all the time
export const PROGRESS_MIN = 1_000; // between two questions about long work
export const PROGRESS_RETRY = 30_000; // after a question about long work failed

// Alerts.
export const QUIET = 3_000; // between two sounds
export const DESKTOP_AFTER = 200; // during which desktop notifications are collected
export const DESKTOP = 3; // desktop notifications at once; more become one
