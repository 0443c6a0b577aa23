"""Forms of the admin that ask what a notification says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth import get_user_model
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from sse_notify.admin.audience import Addressees
from sse_notify.models import Audience, Notification
from sse_notify.models.fields import FIELDS, Kind
from sse_notify.notifications.validation import check

if TYPE_CHECKING:
    NotificationForm = forms.ModelForm[Notification]
else:
    NotificationForm = forms.ModelForm

#: The fields that forms ask for by a widget of their own.
ASKED = tuple(
    name for name, field in FIELDS.items() if field.section and field.kind is not Kind.BUTTONS
)
#: The names of the fields of each button. Their number is fixed, as no script need add more.
BUTTONS = tuple((f"label_{number}", f"address_{number}") for number in range(1, 4))


class ContentForm(NotificationForm):
    """What a notification says, checked by the rules of ``notify()`` and ``broadcast()``."""

    class Meta:
        model = Notification
        fields: tuple[str, ...] = ASKED
        help_texts: ClassVar[dict[str, Any]] = {name: FIELDS[name].help for name in ASKED}

    def clean(self) -> dict[str, Any]:
        """Validate the content as the verbs do."""
        super().clean()
        if {"title", "body"} <= self.cleaned_data.keys():
            self._check(self.arguments)
        return self.cleaned_data

    def _check(self, arguments: dict[str, Any], field: str = "") -> None:
        """Add the verbs' error to ``field``, or to that of the argument that the error names."""
        try:
            checked(arguments)
        except (TypeError, ValueError) as error:
            name, _space, message = str(error).partition(" ")
            at = field or name
            self.add_error(at if at in self.fields else None, capfirst(message))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments for the verbs, as far as they are valid."""
        return {name: self.cleaned_data[name] for name in ASKED if name in self.cleaned_data}


class ComposeForm(ContentForm):
    """What a notification says, with its buttons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["body"].widget.attrs["rows"] = 4
        self.fields["category"].widget.attrs["list"] = "ssen-categories"
        moment: Any = self.fields["expires_at"].widget
        for widget, label in zip(moment.widgets, (_("Expiry date"), _("Expiry time")), strict=True):
            widget.attrs["aria-label"] = label  # Django's own widget ties no label to them
        for names in BUTTONS:
            for name, label in zip(names, (_("Label"), _("URL")), strict=True):
                widget = forms.TextInput(attrs={"class": "vTextField"})
                self.fields[name] = forms.CharField(
                    label=label, required=False, max_length=2000, widget=widget
                )

    def clean(self) -> dict[str, Any]:
        """Validate each button as the verbs do, and then the whole."""
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
        """The arguments for the verbs, with ``actions``."""
        rows = [[self.cleaned_data.get(name, "") for name in names] for names in BUTTONS]
        actions = [{"label": label, "url": url} for label, url in rows if label and url]
        return {**super().arguments, "actions": actions}

    @property
    def fieldsets(self) -> Any:
        """The fields in the order of the page, as Django's admin describes them."""
        sections: dict[Any, list[Any]] = {}
        for name, field in FIELDS.items():
            if field.section:
                asked = BUTTONS if field.kind is Kind.BUTTONS else (name,)
                sections.setdefault(field.section, []).extend(asked)
        return [(section, {"fields": names}) for section, names in sections.items()]

    @property
    def sample(self) -> Notification:
        """An unsaved row with what is valid so far."""
        return arriving(Notification(**self.arguments))


class SendForm(ContentForm):
    """What a notification says and who gets it, for Django's own page "Add"."""

    class Meta(ContentForm.Meta):
        fields = ("audience", "recipient", "group", *ASKED)
        help_texts: ClassVar[dict[str, Any]] = {
            **ContentForm.Meta.help_texts,
            "audience": _(
                "One row reaches the whole audience. Membership is checked when users read it."
            ),
            "recipient": _("For one user only."),
            "group": _("For a group only."),
        }

    def clean(self) -> dict[str, Any]:
        """Require the recipient or group that the audience needs, and no other."""
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
        """Those who get it, if the form is valid."""
        recipient, group = self.cleaned_data["recipient"], self.cleaned_data.get("group")
        users = get_user_model()._default_manager.filter(pk=recipient.pk) if recipient else None
        return Addressees(
            audience=Audience(self.cleaned_data["audience"]),
            groups=(group,) if group else (),
            users=users,
        )


def checked(arguments: dict[str, Any]) -> Notification:
    """Return an unsaved row with these arguments, as pages will show it when it arrives.

    Raises:
        TypeError, ValueError: an argument is wrong, as for :func:`sse_notify.notify`.
    """
    content: Any = dict(arguments)
    return arriving(check(content.pop("title"), content.pop("body"), content).row())


def arriving(row: Notification) -> Notification:
    """Return the row as pages first show it: unread."""
    row.is_unread = True
    return row
