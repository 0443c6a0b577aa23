"""What of the log to follow, and what to write into it."""

from __future__ import annotations

import logging

from django import forms
from django.utils.translation import gettext_lazy as _

_LEVELS = [
    (str(level), logging.getLevelName(level))
    for level in (logging.INFO, logging.WARNING, logging.ERROR)
]


class FollowForm(forms.Form):
    """The filter of a reader."""

    level = forms.TypedChoiceField(label=_("From level"), choices=_LEVELS, coerce=int)
    rate = forms.TypedChoiceField(
        label=_("Reading speed"),
        choices=[
            ("0", _("as fast as it goes")),
            ("20", _("20 lines a second")),
            ("2", _("2 lines a second")),
        ],
        coerce=int,
    )


class WriteForm(forms.Form):
    """A line for the log."""

    text = forms.CharField(label=_("Line"), max_length=200)
    severity = forms.TypedChoiceField(label=_("Level"), choices=_LEVELS, coerce=int)
