"""What a visitor of the lab may send."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class MessageForm(forms.Form):
    """A message to everybody in the lab."""

    text = forms.CharField(
        label=_("Message"), max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
    event = forms.ChoiceField(
        label=_("Name of the event"),
        choices=[(name, name) for name in ("message", "greeting", "alarm")],
    )
