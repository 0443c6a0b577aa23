/** Every number that the scripts wait, count or measure by. Times are in milliseconds. */

// The stream, and the way back to it.
export const WATCH_EVERY = 5_000; // between two looks at the clock
export const SILENCE = 45_000; // without a byte, at least, before a connection counts as dead
export const HELLO_WITHIN = 10_000; // of the headers; what comes later was buffered on its way
export const STABLE_AFTER = 30_000; // for a connection to count as stable, so that the backoff starts over
export const STREAMS_AFTER = 2_000; // for a server that ended its streams to count as one that streams
export const RETRY = 3_000; // if the server names no time
export const RETRY_HIDDEN = 30_000; // at least, in a page that nobody sees
export const RETRY_BUFFERED = 60_000; // before a buffered stream is replaced by a new one
export const GIVE_UP_HIDDEN = 600_000; // of failing in a page that nobody sees; it goes on when it is seen
export const ONLINE_SPREAD = 2_000; // in which the clients of a network come back

// Exponential backoff.
export const BACKOFF_BASE = 1_000;
export const BACKOFF_MIN = 250;
export const BACKOFF_MAX = 60_000;
export const HINT_MAX = 600_000; // for a time that the server asks for

// Tabs that share a stream.
export const ASK_EVERY = 10_000; // how often a tab that is seen asks the leader
export const WATCHED = 20_000; // after such a question, the leader counts as seen
export const ANSWER_WITHIN = 750; // twice that, and what a new stream takes, must be less than 2 s
export const MISSES = 2; // questions without an answer, after which the leader counts as frozen
export const PARK_AFTER = 10_000; // for a hidden page that cannot share to close its stream

// What is fetched beside the stream.
export const POLL_EVERY = 5_000; // at least, while the stream is buffered
export const REFRESH_AFTER = 250; // at least, to fetch the counts once for all who ask
export const REFRESH_FAILED = 5_000; // at least, before another try
export const PAGE = 100; // items, the most that the server sends
export const BLOCK_MAX = 1_048_576; // characters of an event; a stream that exceeds it is broken or hostile
export const FRESH_MAX = 1_000; // ids of unread items that are remembered

// The widget.
export const FRAME_HIDDEN = 200; // between two drawings of a page that nobody sees
export const TICK = 30_000; // between two drawings when nothing happens
export const TELL_AFTER = 10_000; // for a break in the connection to be told
export const SEEN_AFTER = 1_000; // of an open panel
export const EXPIRE_WITHIN = 3_600_000; // the longest timer; one of some weeks would go off at once
export const UNDO_FOR = 8_000;
export const OUTLIVES = 1_000; // how long a client outlives its last bell
export const PAGE_SHOWN = 20; // of a page, if the tag names no number
export const ITEMS_MAX = 200; // in the list
export const COUNT_MAX = 99; // beyond it a badge says "99+"
export const EDGE = 8; // pixels between the panel and what is beside it
export const ROOM = 240; // pixels below the bell; with less the panel opens above it

// What arrives.
export const TOASTS = 3; // at once
export const TOAST_STAYS = 8_000; // after the last one came
export const ANNOUNCE_AFTER = 1_000; // in which titles are collected
export const ANNOUNCE_EVERY = 5_000; // so that a screen reader is not interrupted all the time
export const PROGRESS_RETRY = 30_000; // after a question about long work that got no answer

// Alerts.
export const QUIET = 3_000; // between two sounds
export const DESKTOP_AFTER = 200; // in which desktop notifications are collected
export const DESKTOP = 3; // desktop notifications at once; more become one
