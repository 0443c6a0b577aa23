"""Which streams listen to which topic, and which have muted what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sse_notify.stream import Stream


class TopicIndex(dict[str, "set[Stream]"]):
    """The streams of one hub by topic; a topic that nobody listens to is not in it."""

    def __init__(self) -> None:
        super().__init__()
        #: The streams whose users have muted a category, by category.
        self.muters: dict[str, set[Stream]] = {}

    def add(self, stream: Stream) -> None:
        """List ``stream`` under each of its topics."""
        for topic in stream.topics:
            self.setdefault(topic, set()).add(stream)
        for category in stream.reader.muted:
            self.muters.setdefault(category, set()).add(stream)

    def remove(self, stream: Stream) -> bool:
        """Take ``stream`` out, and return whether it was listed."""
        listed = False
        for topic in stream.topics:
            listeners = self.get(topic)
            if listeners is not None and stream in listeners:
                listed = True
                listeners.discard(stream)
                if not listeners:
                    del self[topic]
        for category in stream.reader.muted:
            muters = self.muters.get(category)
            if muters is not None:
                muters.discard(stream)
                if not muters:
                    del self.muters[category]
        return listed
