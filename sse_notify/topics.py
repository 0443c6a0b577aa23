"""Who may listen to what: the names of topics, and the registry of those that a project defines.

A topic is a short text that events are addressed to. Four kinds belong to this package, and every signed-in user's stream has
those that fit: ``user:<pk>``, ``group:<pk>``, ``staff``, ``everyone``. All others are a project's own; a stream asks for them by
name and gets them if the function that the project registered with :func:`topic` says yes.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from asgiref.sync import async_to_sync
from django.db.models import TextChoices
from django.urls.resolvers import RoutePattern
from django.utils.translation import gettext_lazy as _

from sse_notify.exceptions import UnknownTopic

Authoriser = Callable[..., "bool | Awaitable[bool]"]
AuthoriserT = TypeVar("AuthoriserT", bound=Authoriser)

#: The longest name of a topic, in characters: what fits the column of the log and a sensible address.
MAX_LENGTH = 100
#: Topics that one stream may ask for; each costs a check when it opens.
MAX_TOPICS = 50


class Audience(TextChoices):
    """Whom a notification is for. The value is also the first word of its topic."""

    USER = "user", _("One user")
    GROUP = "group", _("A group")
    STAFF = "staff", _("Staff")
    EVERYONE = "everyone", _("Everyone")


#: Every user who has an account when reading, and had one when the broadcast was sent.
EVERYONE: Final = Audience.EVERYONE
#: Every user who is staff when reading.
STAFF: Final = Audience.STAFF


def user_topic(pk: Any) -> str:
    """Return the topic of one user's own notifications."""
    return f"user:{pk}"


def group_topic(pk: Any) -> str:
    """Return the topic of what is broadcast to a group."""
    return f"group:{pk}"


def topics_of(user: Any, groups: Iterable[Any] | None = None) -> tuple[str, ...]:
    """Return the topics of this package that ``user`` has now: the user's own, everyone's, the staff's, each group's.

    Args:
        user: whose topics.
        groups: the keys of the user's groups. ``None``: they are looked up, with one query unless they were prefetched.
    """
    if groups is None:  # a custom user model need not have groups
        groups = [group.pk for group in user.groups.all()] if hasattr(user, "groups") else []
    staff = [STAFF.value] if getattr(user, "is_staff", False) else []
    return (user_topic(user.pk), EVERYONE.value, *staff, *map(group_topic, groups))


#: By pattern: the compiled pattern, with Django's path converters; the function; whether it is public.
_registrations: dict[str, tuple[RoutePattern, Authoriser, bool]] = {}


def topic(pattern: str, *, public: bool = False) -> Callable[[AuthoriserT], AuthoriserT]:
    """Register who may listen to the topics that ``pattern`` matches. Use it as a decorator, in an app's ``topics.py``.

    ::

        @topic("order.<int:pk>")
        def can_watch(user, pk):
            return Order.objects.filter(pk=pk, owner=user).exists()

    Args:
        pattern: a topic's name, with Django's path converters where it varies.
        public: whether anonymous visitors may ask; the function still decides, and gets an ``AnonymousUser``.

    Raises:
        ValueError: the pattern is empty, is registered already, or lies among this package's own topics.
    """
    if not pattern or is_own(pattern):
        raise ValueError(f"pattern must not be {pattern!r}: empty, or one of the package's own.")

    def register(authorise: AuthoriserT) -> AuthoriserT:
        known = _registrations.get(pattern)
        if known is not None and known[1] is not authorise:
            raise ValueError(f"pattern {pattern!r} is already registered, by {known[1]!r}.")
        _registrations[pattern] = RoutePattern(pattern, is_endpoint=True), authorise, public
        return authorise

    return register


def check_name(name: str) -> str:
    """Return ``name`` if it can be a topic of a project's own.

    Raises:
        TypeError: it is not text.
        ValueError: it is empty, too long, or holds a control character.
    """
    if not isinstance(name, str):
        raise TypeError(f"topic must be a string, not {type(name).__name__}.")
    if not name or len(name) > MAX_LENGTH or not name.isprintable():
        raise ValueError(f"topic must be 1 to {MAX_LENGTH} printable characters.")
    return name


class Match(NamedTuple):
    """A topic's name, and what the project registered for it: by default, that nobody may listen."""

    name: str
    authorise: Authoriser = lambda user: False
    """``function(user, **captured)``, sync or async, that returns whether the user may listen."""
    public: bool = False
    """Whether anonymous visitors may ask at all."""
    pattern: str = ""
    """The pattern as it was written, ``"order.<int:pk>"``."""
    captured: Mapping[str, Any] = {}
    """What the pattern captured from the name."""

    @property
    def key(self) -> Hashable:
        """Name the call: two matches with the same key are answered alike, such as ``room.2`` and ``room.02``."""
        key = (self.pattern, *self.captured.values())
        try:
            hash(key)
        except TypeError:  # a path converter of the project's made it
            return self.name
        return key

    def allows(self, user: Any) -> bool:
        """Return whether ``user`` may listen now. Call it from sync code: the project's function may query.

        Raises:
            Exception: whatever the project's function raises.
        """
        if not (self.public or user.is_authenticated):
            return False
        authorise: Any = self.authorise
        if inspect.iscoroutinefunction(authorise):
            authorise = async_to_sync(authorise)
        return bool(authorise(user, **self.captured))


def find(name: str) -> Match:
    """Return what the project registered for the topic ``name``.

    Raises:
        UnknownTopic: nothing. This package's own topics are never found here: nobody asks for them by name.
    """
    if not is_own(name) and len(name) <= MAX_LENGTH:
        for pattern, (route, authorise, public) in _registrations.items():
            if found := route.match(name):
                return Match(name, authorise, public, pattern, found[2])
    raise UnknownTopic(f"no @topic pattern matches {name!r}")


def is_own(name: str) -> bool:
    """Return whether ``name`` is one of this package's own topics."""
    return name in (EVERYONE, STAFF) or name.startswith(("user:", "group:"))
