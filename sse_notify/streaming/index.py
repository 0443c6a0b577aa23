"""Which streams listen to which topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_notify.streaming.stream import Stream


class TopicIndex(dict[str, "set[Stream]"]):
    """The streams of one hub by topic; a topic that nobody listens to is not in it."""

    def add(self, stream: Stream) -> None:
        """List ``stream`` under each of its topics."""
        for topic in stream.topics:
            self.setdefault(topic, set()).add(stream)

    def remove(self, stream: Stream) -> bool:
        """Take ``stream`` out, and return whether it was listed."""
        listed = [topic for topic in stream.topics if stream in self.get(topic, ())]
        for topic in listed:
            self[topic].discard(stream)
            if not self[topic]:
                del self[topic]
        return bool(listed)
