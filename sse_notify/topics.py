"""Topics: their names, and the registry of the topics that a project defines.

A topic is a short string that events are addressed to. This package has four kinds, and every
signed-in user's stream gets those that apply: ``user:<pk>``, ``group:<pk>``, ``staff`` and
``everyone``. A project defines all others with :func:`topic`. Streams request them by name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from datetime import date, datetime, time
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import ManyToManyField, Model, TextChoices
from django.db.models.expressions import DatabaseDefault
from django.urls.converters import DEFAULT_CONVERTERS
from django.urls.resolvers import RoutePattern
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sse_notify.concurrency.greenlets import wait_for
from sse_notify.exceptions import UnknownTopic
from sse_notify.sse.format import shown

Authoriser = Callable[..., "bool | Awaitable[bool]"]
Matcher = Callable[..., "dict[str, Any] | None"]
AuthoriserT = TypeVar("AuthoriserT", bound=Authoriser)

MAX_LENGTH = 100  #: Maximum length of a topic's name in characters, as of the log's column.
#: What processes tell each other of runs. No client may listen, and no project may publish to it.
RUNS: Final = "sse_notify.runs"
#: Maximum number of topics that one stream may request. Each costs a check when it opens.
MAX_TOPICS = 50


class Audience(TextChoices):
    """Who gets a notification. The value is also the first word of the topic."""

    USER = "user", _("One user")
    GROUP = "group", _("A group")
    STAFF = "staff", _("Staff")
    EVERYONE = "everyone", _("Everyone")


EVERYONE: Final = Audience.EVERYONE  #: Who has an account now and had one at the broadcast.
STAFF: Final = Audience.STAFF  #: Who is staff now, at the time of reading.


def user_topic(pk: Any) -> str:
    """Return the topic of one user's own notifications, however the program wrote the key."""
    return f"user:{get_user_model()._meta.pk.to_python(pk)}"


def user_of(topic: str) -> str:
    """Return the primary key, as text, of the user whose own topic this is; "" for other topics."""
    return topic.removeprefix("user:") if topic.startswith("user:") else ""


def group_topic(id: Any) -> str:
    """Return the topic of the broadcasts to a group."""
    return f"group:{id}"


def has_key(instance: Model) -> bool:
    """Return whether ``instance`` has a primary key; a new one may get it when it is saved.

    Django makes a ``default`` key, such as a UUID, before that. Such an instance counts: it may be
    a row whose key was given by hand, or be saved later in the same transaction.
    """
    parts = instance.pk if isinstance(instance.pk, tuple) else [instance.pk]
    return not any(part is None or isinstance(part, DatabaseDefault) for part in parts)


def has_inbox(user: Any) -> bool:
    """Return whether ``user`` is a row of the user model: no visitor, and not made from a token."""
    return isinstance(user, get_user_model()) and has_key(user)


def load_users(pks: Collection[Any]) -> dict[Any, tuple[Any, list[Any]]]:
    """Return the users with these primary keys, each with the ids of its groups, in two queries.

    They are whole rows, and from the database that is written to: a replica may be late.
    """
    model: Any = get_user_model()
    users = model._base_manager.using(router.db_for_write(model))
    found = {pk: (user, list[Any]()) for pk, user in users.in_bulk(pks).items()}
    if found and groups_field():
        members = users.filter(pk__in=found, groups__id__isnull=False)
        for pk, group in members.values_list("pk", "groups__id"):
            found[pk][1].append(group)
    return found


def topics_of(user: Any, groups: Iterable[Any] | None = None) -> tuple[str, ...]:
    """Return ``user``'s own topic, everyone's, staff's and those of the groups, in a fixed order.

    Args:
        user: a signed-in user.
        groups: the ids of the user's groups. ``None``: fetch them, unless they are prefetched.
    """
    if groups is None:  # as Django's permissions, without the groups' own manager: it may hide some
        rows = user.groups(manager="_base_manager").all() if groups_field() else ()
        groups = [group.id for group in rows]
    staff = [STAFF.value] if getattr(user, "is_staff", False) else []
    # A row of a project's ``through`` may repeat a membership, in another role, say.
    return (user_topic(user.pk), EVERYONE.value, *staff, *sorted(set(map(group_topic, groups))))


def joined(user: Any) -> datetime | None:
    """Return when ``user`` joined; ``None`` if that is not known, so that all broadcasts count."""
    moment = getattr(user, "date_joined", None)
    if isinstance(moment, date) and not isinstance(moment, datetime):  # a custom user model's
        moment = datetime.combine(moment, time.min)
        moment = timezone.make_aware(moment) if timezone.is_aware(timezone.now()) else moment
    return moment


def groups_field() -> ManyToManyField[Any, Any] | None:
    """Return the user model's field for Django's groups; ``None``: no user is in a group.

    Something else may have the name ``groups``: a property, a JSONField, or a relation to another
    model. A child of Django's group may have a primary key of its own, and a row of ``through`` may
    name users and groups by other fields. So everything here asks for a group's ``id``.
    """
    for field in get_user_model()._meta.many_to_many:
        model: Any = field.related_model
        if field.name == "groups" and issubclass(model, apps.get_model("auth.Group")):
            return field
    return None


#: Pattern to (the function that returns what a name captures, the topic's function, ``public``).
_registrations: dict[str, tuple[Matcher, Authoriser, bool]] = {}
_DJANGOS = frozenset(map(type, DEFAULT_CONVERTERS.values()))
_PART = re.compile(r"<(?:[^>:]+:)?([^>]+)>")


def topic(pattern: str, *, public: bool = False) -> Callable[[AuthoriserT], AuthoriserT]:
    """Register the function that decides who may subscribe to the topics matching ``pattern``.

    Use it as a decorator, in an app's ``topics.py``::

        @topic("order.<int:pk>")
        def can_watch(user, pk):
            return Order.objects.filter(pk=pk, owner=user).exists()

    Args:
        pattern: a topic's name, with Django's path converters for the variable parts. A part ends
            where the text after it in the pattern first occurs, unless all its values are equally
            long, as a UUID's are.
        public: whether anonymous visitors may request the topic. The function still decides, and
            gets an ``AnonymousUser``.

    Raises:
        TypeError: the pattern is not a string.
        ValueError: the pattern is empty or not printable, is already registered, has no text
            between two parts, or is one of this package's own topics.
        ImproperlyConfigured: a part has no valid name or converter.
    """
    if not isinstance(pattern, str):
        raise TypeError(f"pattern must be a string, not {type(pattern).__name__}.")
    if not pattern or not pattern.isprintable() or is_own(pattern):
        text = "empty, not printable, or one of the package's own"
        raise ValueError(f"pattern must not be {shown(pattern)}: {text}.")
    match = _matcher(pattern)

    def register(authorise: AuthoriserT) -> AuthoriserT:
        known = _registrations.get(pattern)
        if known is not None and known[1] is not authorise:
            raise ValueError(f"pattern {pattern!r} is already registered, by {known[1]!r}.")
        _registrations[pattern] = match, authorise, public
        return authorise

    return register


def _matcher(pattern: str) -> Matcher:
    """Return the function that matches names, in a time in proportion to their length.

    Django's own regular expression may try every way to split a name into the parts.
    """
    converters = RoutePattern(pattern).converters
    first, *rest = _PART.split(pattern)
    regex = re.escape(first)
    for part, text in zip(rest[::2], map(re.escape, rest[1::2]), strict=True):
        if not text and part != rest[-2]:
            raise ValueError(f"pattern must have text after <{part}>, as a part follows.")
        inner = converters[part].regex
        if re.search(r"[+*?,|]", inner):  # values of several lengths
            inner = rf"(?:(?!{text}).)*" if text else ".*"
        regex += rf"(?P<{part}>{inner}){text}"
    compiled = re.compile(regex)

    def match(name: str, *, convert: bool) -> dict[str, Any] | None:
        found = compiled.fullmatch(name)
        captured: dict[str, Any] = found.groupdict() if found else {}
        for part, value in captured.items():
            if not re.fullmatch(converters[part].regex, value):
                return None
            try:
                if convert or type(converters[part]) in _DJANGOS:
                    captured[part] = converters[part].to_python(value)
            except ValueError:
                return None
        return captured if found else None

    return match


def check_name(name: str) -> str:
    """Return ``name`` if a project may use it for a topic.

    Raises:
        TypeError, ValueError: ``name`` is no string, or empty, too long, unprintable, reserved.
    """
    if not isinstance(name, str):
        raise TypeError(f"topic must be a string, not {type(name).__name__}.")
    if not name or len(name) > MAX_LENGTH or not name.isprintable():
        raise ValueError(f"topic must be 1 to {MAX_LENGTH} printable characters.")
    if name == RUNS:
        raise ValueError(f"topic must not be {RUNS!r}: it is reserved.")
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
        return (self.pattern, *self.captured.values()) if _is_fixed(self.pattern) else self.name

    def allows(self, user: Any) -> bool:
        """Return whether ``user`` may subscribe now.

        Call it from sync code: the project's function may query.

        Raises:
            Exception: the project's function raised it.
            TypeError: it yields its answer.
        """
        if not (self.public or user.is_authenticated):
            return False
        answer: Any = self.authorise(user, **self.captured)
        if inspect.isgenerator(answer) or inspect.isasyncgen(answer):  # true, whatever it yields
            raise TypeError(f"The function of topic {self.pattern!r} must return its answer.")
        # Ask the answer, not the function: a decorator may hide that it is async.
        return bool(wait_for(answer) if inspect.isawaitable(answer) else answer)


@cache
def _is_fixed(pattern: str) -> bool:
    """Return whether a name always means the same. A custom converter may look it up."""
    converters = RoutePattern(pattern).converters.values()
    return bool(pattern) and all(type(each) in _DJANGOS for each in converters)


def find(name: str, *, convert: bool = True) -> Match:
    """Return the registration that matches the topic ``name``.

    Args:
        convert: whether to call the project's own path converters, which may be slow. If not, this
            is the first that may match, and public if one of these is.

    Raises:
        UnknownTopic: no pattern matches; none does for this package's own topics.
    """
    # What nobody can publish to reaches no function of the project: PostgreSQL takes no NUL.
    if not is_own(name) and len(name) <= MAX_LENGTH and name.isprintable():
        found = (
            Match(name, authorise, public, pattern, captured)
            for pattern, (match, authorise, public) in _registrations.items()
            if (captured := match(name, convert=convert)) is not None
        )
        for first in found:
            if convert or first.public or _is_fixed(first.pattern):
                return first
            return first._replace(public=any(other.public for other in found))
    raise UnknownTopic(f"no @topic pattern matches {name!r}")


def is_own(name: str) -> bool:
    """Return whether ``name`` is one of this package's own topics."""
    return name in (EVERYONE, STAFF, RUNS) or name.startswith(("user:", "group:"))
