"""Topics: their names, and the registry of the topics that a project defines.

A topic is a short string that events are addressed to. This package has four kinds, and every
signed-in user's stream gets those that apply: ``user:<pk>``, ``group:<pk>``, ``staff`` and
``everyone``. A project defines all others. A stream requests them by name and gets each one that
the function registered with :func:`topic` allows.
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

#: Maximum length of a topic's name in characters. The log's column has the same length.
MAX_LENGTH = 100
#: Maximum number of topics that one stream may request. Each costs a check when it opens.
MAX_TOPICS = 50


class Audience(TextChoices):
    """Who gets a notification. The value is also the first word of the topic."""

    USER = "user", _("One user")
    GROUP = "group", _("A group")
    STAFF = "staff", _("Staff")
    EVERYONE = "everyone", _("Everyone")


#: Every user who has an account now and had one when the broadcast was sent.
EVERYONE: Final = Audience.EVERYONE
#: Every user who is staff now, at the time of reading.
STAFF: Final = Audience.STAFF


def user_topic(pk: Any) -> str:
    """Return the topic of one user's own notifications."""
    return f"user:{pk}"


def group_topic(pk: Any) -> str:
    """Return the topic of the broadcasts to a group."""
    return f"group:{pk}"


def topics_of(user: Any, groups: Iterable[Any] | None = None) -> tuple[str, ...]:
    """Return this package's topics that ``user`` has now: own, everyone's, staff's and groups'.

    Args:
        user: a signed-in user.
        groups: the primary keys of the user's groups. ``None``: fetch them, with one query unless
            they are prefetched.
    """
    if groups is None:
        related = getattr(user, "groups", None)  # a custom user model need not have groups
        groups = [] if related is None else [group.pk for group in related.all()]
    staff = [STAFF.value] if getattr(user, "is_staff", False) else []
    return (user_topic(user.pk), EVERYONE.value, *staff, *map(group_topic, groups))


#: Pattern to (the compiled pattern with Django's path converters, the function, ``public``).
_registrations: dict[str, tuple[RoutePattern, Authoriser, bool]] = {}


def topic(pattern: str, *, public: bool = False) -> Callable[[AuthoriserT], AuthoriserT]:
    """Register the function that decides who may subscribe to the topics matching ``pattern``.

    Use it as a decorator, in an app's ``topics.py``::

        @topic("order.<int:pk>")
        def can_watch(user, pk):
            return Order.objects.filter(pk=pk, owner=user).exists()

    Args:
        pattern: a topic's name, with Django's path converters for the variable parts.
        public: whether anonymous visitors may request the topic. The function still decides, and
            gets an ``AnonymousUser``.

    Raises:
        ValueError: the pattern is empty, is already registered, or is one of this package's own
            topics.
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
    """Return ``name`` if a project may use it for a topic.

    Raises:
        TypeError: ``name`` is not a string.
        ValueError: ``name`` is empty, too long or not printable.
    """
    if not isinstance(name, str):
        raise TypeError(f"topic must be a string, not {type(name).__name__}.")
    if not name or len(name) > MAX_LENGTH or not name.isprintable():
        raise ValueError(f"topic must be 1 to {MAX_LENGTH} printable characters.")
    return name


class Match(NamedTuple):
    """A topic's name and its registration. By default, nobody may subscribe."""

    name: str
    authorise: Authoriser = lambda user: False
    """``function(user, **captured)``, sync or async. Returns whether the user may subscribe."""
    public: bool = False
    """Whether to call the function for anonymous visitors. If not, they are refused."""
    pattern: str = ""
    """The pattern as registered, for example ``"order.<int:pk>"``."""
    captured: Mapping[str, Any] = {}
    """The values that the pattern captured from the name."""

    @property
    def key(self) -> Hashable:
        """The same for matches that get the same answer, for example ``room.2`` and ``room.02``."""
        key = (self.pattern, *self.captured.values())
        try:
            hash(key)
        except TypeError:  # a custom path converter returned an unhashable value
            return self.name
        return key

    def allows(self, user: Any) -> bool:
        """Return whether ``user`` may subscribe now.

        Call it from sync code, because the project's function may query the database.

        Raises:
            Exception: the project's function raised it.
        """
        if not (self.public or user.is_authenticated):
            return False
        authorise: Any = self.authorise
        if inspect.iscoroutinefunction(authorise):
            authorise = async_to_sync(authorise)
        return bool(authorise(user, **self.captured))


def find(name: str) -> Match:
    """Return the registration that matches the topic ``name``.

    Raises:
        UnknownTopic: no pattern matches. This package's own topics never match, because no stream
            requests them by name.
    """
    if not is_own(name) and len(name) <= MAX_LENGTH:
        for pattern, (route, authorise, public) in _registrations.items():
            if found := route.match(name):
                return Match(name, authorise, public, pattern, found[2])
    raise UnknownTopic(f"no @topic pattern matches {name!r}")


def is_own(name: str) -> bool:
    """Return whether ``name`` is one of this package's own topics."""
    return name in (EVERYONE, STAFF) or name.startswith(("user:", "group:"))
