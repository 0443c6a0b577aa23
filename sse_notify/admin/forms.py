"""The forms of the admin: what a notification says, and for "Add" also whom it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.admin import widgets
from django.contrib.auth import get_user_model
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from sse_notify.admin.addressees import Addressees
from sse_notify.content import check
from sse_notify.models import Audience, Notification

if TYPE_CHECKING:
    from sse_notify.content import Content

    NotificationForm = forms.ModelForm[Notification]
else:
    NotificationForm = forms.ModelForm

#: What the forms take besides title and body: the verbs' own arguments.
_CONTENT = ("level", "url", "category", "icon", "expires_at", "silent")
#: Buttons that the form has rows for. Fixed, so that they can be filled in without JavaScript.
BUTTONS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is to be said: the verbs' arguments."""

    title: str
    body: str
    content: Content

    @property
    def notification(self) -> Notification:
        """An unsaved row, to be looked at as it will be when it arrives."""
        return _arriving(check(self.title, self.body, self.content).row())


class ContentForm(NotificationForm):
    """What a notification says, checked by the rules of ``notify()`` and ``broadcast()``."""

    class Meta:
        model = Notification
        fields: tuple[str, ...] = ("title", "body", *_CONTENT)
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {
            "expires_at": forms.SplitDateTimeField
        }
        widgets: ClassVar[dict[str, Any]] = {
            "title": forms.TextInput(attrs={"class": "vTextField"}),
            "body": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 4}),
            "url": forms.TextInput(attrs={"class": "vTextField"}),
            "category": forms.TextInput(attrs={"class": "vTextField", "list": "ssen-categories"}),
            "icon": forms.TextInput(attrs={"class": "vTextField"}),
            "expires_at": widgets.AdminSplitDateTime,
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "url": _("Where a click leads: a path of this site, or a full address."),
            "icon": _("The address of a small image."),
            "expires_at": _("From then on it is neither shown nor counted."),
            "silent": _("Listed and counted, but not announced."),
        }

    def clean(self) -> dict[str, Any]:
        """Hold the content to the verbs' rules."""
        super().clean()
        data = self.cleaned_data
        if "title" in data and "body" in data:
            try:
                check(data["title"], data["body"], self.content)
            except (TypeError, ValueError) as error:
                # The message begins with the argument's name.
                name, _space, message = str(error).partition(" ")
                self.add_error(name if name in self.fields else None, capfirst(message))
        return data

    @property
    def content(self) -> Any:
        """The keyword arguments for the verbs, as far as they are valid."""
        return {name: self.cleaned_data[name] for name in _CONTENT if name in self.cleaned_data}

    @property
    def draft(self) -> Draft:
        """What a valid form says."""
        return Draft(
            title=self.cleaned_data["title"], body=self.cleaned_data["body"], content=self.content
        )


class ComposeForm(ContentForm):
    """What a notification says, with its buttons."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        moment: Any = self.fields["expires_at"].widget
        for widget, label in zip(moment.widgets, (_("Expiry date"), _("Expiry time")), strict=True):
            widget.attrs["aria-label"] = label  # Django's own widget ties no label to them
        for number in range(1, BUTTONS + 1):
            for name, label in zip(_button(number), (_("Label"), _("Address")), strict=True):
                widget = forms.TextInput(attrs={"class": "vTextField"})
                self.fields[name] = forms.CharField(
                    label=label, required=False, max_length=2000, widget=widget
                )

    def clean(self) -> dict[str, Any]:
        """Hold each button to the verbs' rules, and then the whole."""
        for number in range(1, BUTTONS + 1):
            label, url = (self.cleaned_data.get(name, "") for name in _button(number))
            if not label and not url:
                continue
            if not label or not url:
                self.add_error(
                    _button(number)[bool(label)], _("A button needs a label and an address.")
                )
                continue
            try:
                check("-", "", {"actions": [{"label": label, "url": url}]})
            except (TypeError, ValueError) as error:
                _name, _space, message = str(error).partition(" ")
                self.add_error(_button(number)[1], capfirst(message))
        return super().clean()

    @property
    def content(self) -> Any:
        """The keyword arguments for the verbs, with ``actions``."""
        rows = [
            [self.cleaned_data.get(name, "") for name in _button(number)]
            for number in range(1, BUTTONS + 1)
        ]
        return {
            **super().content,
            "actions": [{"label": label, "url": url} for label, url in rows if label and url],
        }

    @property
    def fieldsets(self) -> Any:
        """The fields in the order of the page, as Django's admin describes them."""
        buttons = [_button(number) for number in range(1, BUTTONS + 1)]
        return [
            (_("Message"), {"fields": ["title", "body", "level", "url", "category"]}),
            (_("Buttons"), {"fields": buttons}),
            (_("More"), {"fields": ["icon", "expires_at", "silent"]}),
        ]

    @property
    def sample(self) -> Notification:
        """What is valid so far, to be looked at."""
        fields = {
            name: self.cleaned_data[name] for name in ("title", "body") if name in self.cleaned_data
        }
        return _arriving(Notification(**fields, **self.content))


class SendForm(ContentForm):
    """What a notification says and whom it is for, on Django's own page for adding.

    Without ``may_broadcast``, which the admin sets on a subclass, it is for one user.
    """

    may_broadcast = True

    class Meta(ContentForm.Meta):
        fields = ("audience", "recipient", "group", *ContentForm.Meta.fields)
        help_texts: ClassVar[dict[str, Any]] = {
            **ContentForm.Meta.help_texts,
            "audience": _(
                "One row reaches a whole audience. Who belongs to it is decided when it is read."
            ),
            "recipient": _("For one user only."),
            "group": _("For a group only."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.may_broadcast and "audience" in self.fields:
            self.fields["audience"].choices = [(Audience.USER.value, Audience.USER.label)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Name the recipient that the audience needs, and no other."""
        data = super().clean()
        for audience, field in ((Audience.USER, "recipient"), (Audience.GROUP, "group")):
            chosen = data.get("audience") == audience
            if chosen and not data.get(field) and field not in self.errors:
                self.add_error(field, _("Choose one for this audience."))
            elif not chosen and data.get(field):
                self.add_error(field, _("Leave it empty for this audience."))
        return data

    @property
    def addressees(self) -> Addressees:
        """Whom a valid form names."""
        data = self.cleaned_data
        audience = Audience(data["audience"])
        if audience == Audience.USER:
            users = get_user_model()._default_manager.filter(pk=data["recipient"].pk)
            return Addressees(audience=audience, users=users)
        return Addressees(
            audience=audience, groups=(data["group"],) if audience == Audience.GROUP else ()
        )

    def send(self) -> Notification:
        """Send what the form says."""
        draft = self.draft
        (sent,) = self.addressees.send(draft.title, draft.body, draft.content)
        return sent


def _arriving(row: Notification) -> Notification:
    row.is_unread = True
    return row


def _button(number: int) -> tuple[str, str]:
    """Return the names of a button's fields."""
    return f"label_{number}", f"address_{number}"
