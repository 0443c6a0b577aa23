"""The form for a notification and its audience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _

from sse_notify.models import Level

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERYONE, OTHERS, STAFF = "everyone", "others", "staff"


class ComposeForm(forms.Form):
    """The arguments of ``notify()`` and ``broadcast()``, as fields of the same names."""

    to = forms.ChoiceField(label=_("To"))
    title = forms.CharField(label=_("Title"), max_length=255)
    body = forms.CharField(
        label=_("Message"), required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    level = forms.ChoiceField(label=_("Level"), choices=Level.choices, initial=Level.INFO)
    category = forms.CharField(
        label=_("Category"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"list": "categories"}),
    )
    url = forms.CharField(
        label=_("Link"),
        max_length=2000,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "/board/", "inputmode": "url"}),
        help_text=_("Where a click leads: a path or an address."),
    )

    def __init__(self, *args: Any, sender: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        to = self.fields["to"]
        assert isinstance(to, forms.ChoiceField)
        to.choices = list(_destinations(sender))
        to.initial = f"user:{sender.pk}"


def _destinations(sender: User) -> Iterable[tuple[Any, Any]]:
    others = (
        User.objects.filter(is_active=True).exclude(pk=sender.pk).order_by("first_name", "username")
    )
    people = [(f"user:{user.pk}", user.get_full_name() or user.username) for user in others]
    yield _("People"), [(f"user:{sender.pk}", _("Myself")), *people]
    yield (
        _("Teams"),
        [(f"group:{group.pk}", group.name) for group in Group.objects.order_by("name")],
    )
    yield (
        _("Audiences"),
        [(EVERYONE, _("Everyone")), (OTHERS, _("Everyone but me")), (STAFF, _("Staff"))],
    )
