"""Tools for the tests of a project: capture what was notified, and read a stream without a server.

::

    def test_the_author_is_notified_of_a_comment(self):
        with capture_notifications() as sent:
            comment(post)
        self.assertEqual([n.title for n in sent.to(post.author)], ["New comment"])

    async def test_it_arrives(self):
        async with open_stream(author) as stream:
            await anotify(author, "Hello")
            event = await stream.next("notification")
        self.assertEqual(event.data["title"], "Hello")

Both work in a ``TestCase``, where nothing ever commits. ``capture_notifications`` reads from the
database. A stream finds at its poll what no commit announces, within a second;
``captureOnCommitCallbacks(execute=True)`` announces at once.
"""

from sse_notify.testing.capture import Captured, capture_notifications
from sse_notify.testing.streams import open_stream

__all__ = ["Captured", "capture_notifications", "open_stream"]
