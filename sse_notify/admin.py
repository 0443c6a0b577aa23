"""The log in Django's admin: read what was sent, and send. What is sent cannot be edited: pages and streams have it already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.utils.translation import gettext_lazy as _

from sse_notify.content import check
from sse_notify.models import Audience, Notification
from sse_notify.verbs import broadcast, notify

if TYPE_CHECKING:
    from django.http import HttpRequest

    NotificationForm = forms.ModelForm[Notification]
    NotificationModelAdmin = admin.ModelAdmin[Notification]
else:
    NotificationForm = forms.ModelForm
    NotificationModelAdmin = admin.ModelAdmin

#: What the form takes besides title, body and the audience: the verbs' own arguments.
_CONTENT = ("level", "url", "category", "icon", "expires_at", "silent")


class SendForm(NotificationForm):
    """What a notification says and whom it is for, checked by the rules of ``notify()`` and ``broadcast()``."""

    class Meta:
        model = Notification
        fields = ("audience", "recipient", "group", "title", "body", *_CONTENT)
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "title": forms.TextInput(attrs={"class": "vTextField"}),
            "body": forms.Textarea(attrs={"class": "vLargeTextField", "rows": 4}),
        }
        help_texts: ClassVar[dict[str, Any]] = {
            "audience": _("One row reaches a whole audience. Who belongs to it is decided when it is read."),
            "recipient": _("For one user only."),
            "group": _("For a group only."),
            "url": _("Where a click leads: a path of this site, or a full address."),
            "expires_at": _("From then on it is neither shown nor counted."),
            "silent": _("Listed and counted, but not announced."),
        }

    def clean(self) -> dict[str, Any]:
        """Name the recipient that the audience needs, and no other; hold the content to the verbs' rules."""
        super().clean()
        data = self.cleaned_data
        for audience, field in ((Audience.USER, "recipient"), (Audience.GROUP, "group")):
            chosen = data.get("audience") == audience
            if chosen and not data.get(field) and field not in self.errors:
                self.add_error(field, _("Choose one for this audience."))
            elif not chosen and data.get(field):
                self.add_error(field, _("Leave it empty for this audience."))
        if "title" in data and "body" in data:
            try:
                check(data["title"], data["body"], self.content)
            except (TypeError, ValueError) as error:
                # The message begins with the argument's name.
                name, _colon, message = str(error).partition(": ")
                self.add_error(name if name in self.fields else None, message or str(error))
        return data

    @property
    def content(self) -> Any:
        """The keyword arguments for the verbs."""
        return {name: self.cleaned_data[name] for name in _CONTENT if name in self.cleaned_data}

    def send(self) -> Notification:
        """Send what the form says."""
        data = self.cleaned_data
        if data["audience"] == Audience.USER:
            sent: Notification = notify(data["recipient"], data["title"], data["body"], **self.content)
            return sent
        audience = data["group"] if data["audience"] == Audience.GROUP else Audience(data["audience"])
        return broadcast(data["title"], data["body"], audience=audience, **self.content)


@admin.register(Notification)
class NotificationAdmin(NotificationModelAdmin):
    """The log, newest first. "Add" sends."""

    form = SendForm
    date_hierarchy = "created_at"
    list_display = ("title", "level", "audience", "addressee", "category", "created_at", "count")
    list_filter = ("level", "audience", "silent", "created_at")
    list_select_related = ("recipient", "group")
    raw_id_fields = ("recipient", "group")
    show_full_result_count = False  # counting a long log costs more than showing a page of it

    @admin.display(description=_("for"))
    def addressee(self, notification: Notification) -> str:
        """Return the user or the group, if it is for one."""
        return str(notification.recipient or notification.group or "")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search in what it says, and by the recipient's name, whatever field the project's user model has for it."""
        return ("title", "body", "category", "key", f"recipient__{get_user_model().USERNAME_FIELD}")

    def get_fields(self, request: HttpRequest, obj: Notification | None = None) -> Any:
        """Show what can be sent, and of what was sent, everything."""
        if obj is None:
            return SendForm.Meta.fields
        names = [field.name for field in Notification._meta.get_fields() if field.concrete and not field.is_relation]
        return [
            "audience",
            "recipient",
            "group",
            "excluded",
            *(name for name in names if name not in ("audience", "actor_pk", "target_pk")),
        ]

    def has_change_permission(self, request: HttpRequest, obj: Notification | None = None) -> bool:
        """Never: it is sent."""
        return False

    def save_model(self, request: HttpRequest, obj: Notification, form: Any, change: bool) -> None:  # noqa: FBT001  (Django's)
        """Send it, inside the admin's transaction; the row is written by the verbs, not by the form."""
        obj.pk = form.send().pk
        obj.refresh_from_db()
