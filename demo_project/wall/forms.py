"""Writing on the wall."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from demo_project.wall.models import Message


class MessageForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A message by anybody. Users who are signed in write under their own name."""

    class Meta:
        model = Message
        fields = ("name", "text")
        labels = {"name": _("Your name"), "text": _("Your message")}
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "nickname"}),
            "text": forms.Textarea(attrs={"rows": 2}),
        }
