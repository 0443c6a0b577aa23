"""Who gets a broadcast from the admin, and the form that asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import widgets
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sse_notify.models import Audience, Notification
from sse_notify.notifications.audience import has_user_field, users_by_name
from sse_notify.notifications.send import send

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.db.models import QuerySet
    from django.http import HttpRequest

#: The most users who are notified one by one: the admin's request writes a row for each.
MAX_USERS = 10_000
#: The most names that may be typed or pasted at once.
MAX_NAMES = 1000
#: Names that a description spells out.
NAMES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressees:
    """An audience of the verbs, several groups, or chosen users."""

    audience: Audience
    """Which kind."""
    groups: Sequence[Group] = ()
    """The groups, for ``Audience.GROUP``."""
    users: QuerySet[Any] | None = None
    """The users, for ``Audience.USER``."""

    def __str__(self) -> str:
        """Return who they are, in the language of the page."""
        if self.audience == Audience.GROUP:
            names = ", ".join(group.name for group in self.groups)
            return gettext("Groups: %(names)s") % {"names": names}
        if self.users is not None:
            users = [str(user) for user in self.users[: NAMES + 1]]
            names = ", ".join(users[:NAMES]) + (" …" if len(users) > NAMES else "")
            return gettext("Chosen users: %(names)s") % {"names": names}
        return str(self.audience.label)

    def members(self) -> QuerySet[Any] | None:
        """Return the users whom it reaches now and who can sign in.

        Return ``None`` if a query cannot tell who is staff.
        """
        users = active_users()
        if self.audience == Audience.STAFF:
            return users.filter(is_staff=True) if has_user_field("is_staff") else None
        if self.audience == Audience.GROUP:
            return users.filter(groups__in=self.groups).distinct()
        if self.users is not None:
            return users.filter(pk__in=self.users.order_by().values("pk"))
        return users

    def count(self) -> int | None:
        """Return how many it reaches now: one query. ``None`` if a query cannot tell."""
        members = self.members()
        return None if members is None else members.count()

    def count_connected(self, connected: Iterable[str]) -> int | None:
        """Return how many of them are among ``connected``, the keys of users as text: one query."""
        members = self.members()
        return None if members is None else members.filter(pk__in=connected).count()

    def send(self, **arguments: Any) -> list[Notification]:
        """Send to them, notifying each user once, and return the rows.

        Raises:
            TypeError, ValueError: an argument is wrong; nothing is written.
        """
        return send(
            users=() if self.users is None else self.users,
            groups=self.groups,
            staff=self.audience == Audience.STAFF,
            everyone=self.audience == Audience.EVERYONE,
            **arguments,
        )


class AudienceForm(forms.Form):
    """Ask who gets a broadcast. Fields of another audience than the chosen one are ignored.

    Args:
        answers: what was posted; ``None`` for an empty form.
        admin_site: if its admin of the user model can be searched, users are found by typing.
        request: who asks.
    """

    audience = forms.ChoiceField(
        label=_("For"),
        widget=widgets.AdminRadioSelect(attrs={"class": "radiolist"}),
        initial=Audience.EVERYONE,
    )
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        label=_("Groups"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Users in several groups get it once."),
    )
    users: Any = forms.ModelMultipleChoiceField(
        None, label=_("Users"), required=False, help_text=_("Type to search for users.")
    )
    names = forms.CharField(
        label=_("Usernames"),
        required=False,
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        help_text=_("The names that users sign in with, one per line."),
    )

    def __init__(self, answers: Any, *, admin_site: AdminSite, request: HttpRequest) -> None:
        super().__init__(answers)
        fields: dict[str, Any] = self.fields
        kinds = [(Audience.EVERYONE, Audience.EVERYONE.label)]
        if hasattr(get_user_model(), "is_staff"):
            kinds.append((Audience.STAFF, Audience.STAFF.label))
        if has_user_field("groups"):
            kinds.append((Audience.GROUP, _("Groups")))
        else:
            del fields["groups"]
        fields["audience"].choices = [*kinds, (Audience.USER, _("Chosen users"))]
        if _can_search(admin_site, request):
            # The field only names the relation that Django's view for completion follows.
            relation = Notification._meta.get_field("excluded")
            fields["users"].widget = widgets.AutocompleteSelectMultiple(relation, admin_site)
            fields["users"].queryset = get_user_model()._default_manager.all()
        else:
            del fields["users"]

    def clean_names(self) -> list[Any]:
        """Return the users who have the names."""
        names = {name.strip() for name in self.cleaned_data["names"].splitlines()} - {""}
        if self.cleaned_data.get("audience") != Audience.USER:
            return []
        if len(names) > MAX_NAMES:
            raise ValidationError(_("Enter at most %(most)s usernames.") % {"most": MAX_NAMES})
        found = users_by_name(names)
        if unknown := ", ".join(sorted(names - found.keys())):
            raise ValidationError(_("Unknown usernames: %(names)s") % {"names": unknown})
        return list(found.values())

    def clean(self) -> dict[str, Any]:
        """Require what the chosen audience needs."""
        data = self.cleaned_data
        needed: dict[Any, tuple[str, ...]] = {
            Audience.GROUP: ("groups",),
            Audience.USER: ("names", "users"),
        }
        names = needed.get(data.get("audience"), ())
        if names and not self.errors and not any(data.get(name) for name in names):
            self.add_error(names[0], _("Select at least one."))
        return data

    @property
    def addressees(self) -> Addressees:
        """Whom a valid form names."""
        data, audience = self.cleaned_data, Audience(self.cleaned_data["audience"])
        if audience == Audience.GROUP:
            return Addressees(audience=audience, groups=tuple(data["groups"]))
        if audience == Audience.USER:
            keys = {user.pk for user in (*data["names"], *data.get("users", ()))}
            users = get_user_model()._default_manager.filter(pk__in=keys)
            return Addressees(audience=audience, users=users)
        return Addressees(audience=audience)

    @property
    def fieldsets(self) -> Any:
        """The fields in the order of the page, as Django's admin describes them."""
        return [(_("Audience"), {"fields": list(self.fields)})]


def active_users() -> QuerySet[Any]:
    """Return the users who can sign in."""
    users: QuerySet[Any] = get_user_model()._default_manager.all()
    return users.filter(is_active=True) if has_user_field("is_active") else users


def _can_search(admin_site: AdminSite, request: HttpRequest) -> bool:
    """Return whether this site has an admin of users that can be searched, and open to who asks."""
    if not admin_site.is_registered(get_user_model()):
        return False
    users = admin_site.get_model_admin(get_user_model())
    return bool(users.get_search_fields(request)) and users.has_view_permission(request)
