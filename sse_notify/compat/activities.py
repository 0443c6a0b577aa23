"""Activities of django-notifications-hq: *actor verb action_object on target*."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import gettext as _

from sse_notify.models import Notification

if TYPE_CHECKING:
    from django.db.models import Model

#: The key in ``data`` of the parts that have no column here.
ACTIVITY = "activity"


class Thing(NamedTuple):
    """An actor, a target or an action object. Without arguments: none."""

    type: str = ""
    """Its model, such as "auth.user"; "" if there is no such model any more."""
    pk: str = ""
    """Its key."""
    name: str = ""
    """What it is called."""
    instance: Any = None
    """The instance; ``None`` if it is gone."""

    @classmethod
    def of(cls, instance: Model | None) -> Thing:
        """Return the thing that ``instance`` is."""
        if instance is None:
            return cls()
        return cls(instance._meta.label_lower, str(instance.pk), str(instance), instance)


def phrase(actor: Thing, verb: str, action_object: Thing, target: Thing) -> str:
    """Return the title in the active language, in the words of django-notifications-hq."""
    names = {"actor": actor.name, "action_object": action_object.name, "target": target.name}
    if action_object.name and target.name:
        text = _("%(actor)s %(verb)s %(action_object)s on %(target)s") % {**names, "verb": verb}
    else:
        text = " ".join(filter(None, [actor.name, verb, action_object.name or target.name]))
    field: Any = Notification._meta.get_field("title")
    length: int = field.max_length
    return text if len(text) <= length else f"{text[: length - 1]}…"


def data_of(
    data: Any, verb: str, action_object: Thing, *, public: bool, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``data``: the caller's own, as JSON can hold it, and what has no column here.

    Args:
        data: the caller's. What is not a mapping gets the key "data".
        verb: the verb alone.
        action_object: kept with its type, key and name.
        public: whether it was marked as public, which means nothing here.
        extra: more of the caller's.
    """
    own = data if isinstance(data, Mapping) else {} if data is None else {"data": data}
    activity: dict[str, Any] = {"verb": verb, "public": public}
    if action_object.pk:
        names = ("type", "pk", "name")
        activity["action_object"] = {name: getattr(action_object, name) for name in names}
    kept: dict[str, Any] = json.loads(
        json.dumps({**own, **extra, ACTIVITY: activity}, cls=_Encoder)
    )
    return kept


class _Encoder(DjangoJSONEncoder):
    """Make text of what JSON cannot hold: there it was accepted and dropped."""

    def default(self, o: Any) -> Any:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def address_of(*things: Thing) -> str:
    """Return the address of the first of ``things`` that has one, "" if none has."""
    for thing in things:
        if hasattr(thing.instance, "get_absolute_url"):
            with suppress(Exception):  # the project's own code, which was not asked before
                return str(thing.instance.get_absolute_url() or "")
    return ""
