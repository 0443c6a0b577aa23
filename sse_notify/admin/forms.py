"""The admin's forms: who gets a notification, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib.admin import AdminSite, widgets
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from sse_notify.models import Audience, Notification
from sse_notify.models.content import FIELDS, Kind
from sse_notify.models.querysets import users_by_name
from sse_notify.notifications.send import has_user_field, in_group, send
from sse_notify.notifications.validation import check

#: The most usernames that the form accepts.
MAX_NAMES = 1000
#: The most usernames that a description lists.
NAMES = 5
#: The fields that have one form field each; ``actions`` has several.
ASKED = tuple(name for name, field in FIELDS.items() if field.section and name != "actions")
_ONE_ROW = _("One row reaches the whole audience. Membership is checked when users read it.")
#: The form fields of each button. Their number is fixed, so the page needs no script to add more.
BUTTONS = tuple((f"label_{number}", f"address_{number}") for number in range(1, 4))


@dataclass(frozen=True, kw_only=True, slots=True)
class Addressees:
    """Everyone, staff, several groups, or chosen users."""

    audience: Audience
    """The kind of audience."""
    groups: Sequence[Group] = ()
    """The groups, for ``Audience.GROUP``."""
    users: QuerySet[Any] | None = None
    """The users, for ``Audience.USER``."""

    def __str__(self) -> str:
        """Return a description in the active language."""
        if self.audience == Audience.GROUP:
            names = ", ".join(group.name for group in self.groups)
            return _("Groups: %(names)s") % {"names": names}
        if self.users is not None:
            # As the sender typed them: not everybody who may send may view users.
            users = [user.get_username() for user in self.users[: NAMES + 1]]
            names = ", ".join(users[:NAMES]) + " …" * (len(users) > NAMES)
            return _("Chosen users: %(names)s") % {"names": names}
        return str(self.audience.label)

    def members(self) -> QuerySet[Any] | None:
        """Return the active users in the audience; ``None`` for staff without ``is_staff``."""
        users = active_users()
        if self.audience == Audience.STAFF:
            return users.filter(is_staff=True) if has_user_field("is_staff") else None
        if self.audience == Audience.GROUP:
            return users.filter(in_group(*self.groups)).distinct()
        if self.users is not None:
            return users.filter(pk__in=self.users.order_by().values("pk"))
        return users

    def count(self) -> int | None:
        """Return the number of :meth:`members`, with one query; ``None`` if there is no query."""
        members = self.members()
        return None if members is None else members.count()

    def send(self, **arguments: Any) -> list[Notification]:
        """Notify each of them once and return the rows. Raises what ``broadcast()`` raises."""
        return send(
            users=() if self.users is None else self.users,
            groups=self.groups,
            staff=self.audience == Audience.STAFF,
            everyone=self.audience == Audience.EVERYONE,
            **arguments,
        )


def active_users() -> QuerySet[Any]:
    """Return the users who can sign in."""
    users: QuerySet[Any] = get_user_model()._default_manager.all()
    return users.filter(is_active=True) if has_user_field("is_active") else users


class UserSearch(widgets.AutocompleteSelectMultiple):
    """Django's search field for users, which also shows again what is no key."""

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        """Return the chosen users. Invalid keys choose none; the field has an error then."""
        try:
            return super().optgroups(name, value, attr)
        except (TypeError, ValueError, ValidationError):
            return super().optgroups(name, [], attr)


class AudienceForm(forms.Form):
    """Ask who gets a broadcast. The form ignores the fields of audiences that are not chosen.

    Args:
        answers: the posted data; ``None`` for an empty form.
        admin_site: if its admin of the user model has a search, the form has a user search too.
        request: the current request, for its user's permissions.
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
        model = get_user_model()
        fields: Any = self.fields
        choices = {kind: kind.label for kind in (Audience.EVERYONE, Audience.STAFF)}
        choices |= {Audience.GROUP: _("Groups"), Audience.USER: _("Chosen users")}
        if not hasattr(model, "is_staff"):
            del choices[Audience.STAFF]
        if not has_user_field("groups"):
            del choices[Audience.GROUP], fields["groups"]
        fields["audience"].choices = choices
        users = admin_site.get_model_admin(model) if admin_site.is_registered(model) else None
        if users and users.get_search_fields(request) and users.has_view_permission(request):
            # Django's autocomplete view needs a relation to the user model; any will do.
            relation = Notification._meta.get_field("excluded")
            fields["users"].widget = UserSearch(relation, admin_site)
            fields["users"].queryset = model._default_manager.all()
        else:
            del fields["users"]
        self.fieldsets: Any = [(_("Audience"), {"fields": list(fields)})]

    def clean_names(self) -> list[Any]:
        """Return the users with these names."""
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
        """Require the fields of the chosen audience, and set ``addressees``."""
        data = self.cleaned_data
        if self.errors:
            return data
        chosen: dict[str, Any] = {"audience": Audience(data["audience"])}
        if chosen["audience"] == Audience.GROUP:
            chosen["groups"] = tuple(data["groups"])
            if not data["groups"]:
                self.add_error("groups", _("Select at least one."))
        if chosen["audience"] == Audience.USER:
            keys = {user.pk for user in (*data["names"], *data.get("users", ()))}
            chosen["users"] = get_user_model()._default_manager.filter(pk__in=keys)
            if not keys:
                self.add_error("names", _("Select at least one."))
        self.addressees = Addressees(**chosen)
        return data


class ContentForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's has no arguments
    """The content of a notification, validated as ``notify()`` and ``broadcast()`` do."""

    class Meta:
        model = Notification
        fields: tuple[str, ...] = ASKED
        help_texts: ClassVar[dict[str, Any]] = {name: FIELDS[name].help for name in ASKED}
        help_texts |= {"recipient": _("For one user only."), "group": _("For a group only.")}
        help_texts["audience"] = _ONE_ROW

    def clean(self) -> dict[str, Any]:
        """Validate the content as ``notify()`` does."""
        super().clean()
        if {"title", "body"} <= self.cleaned_data.keys():
            self._check(self.arguments)
        return self.cleaned_data

    def _check(self, arguments: Any, field: str = "") -> None:
        """Add an error to ``field``, or to the field of the argument that the error names."""
        try:
            check(arguments["title"], arguments["body"], arguments)
        except (TypeError, ValueError) as error:
            name, _space, message = str(error).partition(" ")
            at = field or name
            self.add_error(at if at in self.fields else None, capfirst(message))

    @property
    def arguments(self) -> dict[str, Any]:
        """The valid arguments for ``notify()`` or ``broadcast()``."""
        return {name: self.cleaned_data[name] for name in ASKED if name in self.cleaned_data}


class ComposeForm(ContentForm):
    """The content of a notification, with its buttons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["body"].widget.attrs["rows"] = 4
        self.fields["category"].widget.attrs["list"] = "ssen-categories"
        moment: Any = self.fields["expires_at"].widget
        for widget, label in zip(moment.widgets, (_("Expiry date"), _("Expiry time")), strict=True):
            widget.attrs["aria-label"] = label  # Django's widget gives them no label
        text: Any = {"required": False, "max_length": 2000}
        text["widget"] = forms.TextInput(attrs={"class": "vTextField"})
        for label_name, url_name in BUTTONS:
            self.fields[label_name] = forms.CharField(label=_("Label"), **text)
            self.fields[url_name] = forms.CharField(label=_("URL"), **text)
        #: In the order of the page, in the format of ``ModelAdmin.fieldsets``.
        sections: dict[Any, list[Any]] = {}
        for name, field in FIELDS.items():
            if field.section:
                asked = BUTTONS if field.kind is Kind.BUTTONS else (name,)
                sections.setdefault(field.section, []).extend(asked)
        self.fieldsets = [(section, {"fields": names}) for section, names in sections.items()]

    def clean(self) -> dict[str, Any]:
        """Validate each button as ``notify()`` does, then the whole content."""
        for names in BUTTONS:
            label, url = (self.cleaned_data.get(name, "") for name in names)
            if label and url:
                button = {"label": label, "url": url}
                self._check({"title": "-", "body": "", "actions": [button]}, names[1])
            elif label or url:
                missing = names[bool(label)]
                self.add_error(missing, _("A button needs a label and a URL."))
        return super().clean()

    @property
    def arguments(self) -> dict[str, Any]:
        """The valid arguments, with ``actions``."""
        rows = [[self.cleaned_data.get(name, "") for name in names] for names in BUTTONS]
        actions = [{"label": label, "url": url} for label, url in rows if label and url]
        return {**super().arguments, "actions": actions}


class SendForm(ContentForm):
    """The content and the audience, for Django's own page "Add"."""

    class Meta(ContentForm.Meta):
        fields = ("audience", "recipient", "group", *ASKED)

    def clean(self) -> dict[str, Any]:
        """Require the recipient or the group if the audience needs it; reject it otherwise."""
        data = super().clean()
        for audience, field in ((Audience.USER, "recipient"), (Audience.GROUP, "group")):
            chosen = data.get("audience") == audience
            if chosen and not data.get(field) and field not in self.errors:
                self.add_error(field, _("This field is required for this audience."))
            elif not chosen and data.get(field):
                self.add_error(field, _("Leave this field empty for this audience."))
        return data

    @property
    def addressees(self) -> Addressees:
        """The chosen audience. Available if the form is valid."""
        recipient, group = self.cleaned_data["recipient"], self.cleaned_data.get("group")
        users = get_user_model()._default_manager.filter(pk=recipient.pk) if recipient else None
        audience, groups = Audience(self.cleaned_data["audience"]), (group,) if group else ()
        return Addressees(audience=audience, groups=groups, users=users)
