"""The form for new jobs."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from demo_project.tasks.models import Job


class JobForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """The kind of job, and how many."""

    number = forms.TypedChoiceField(
        label=_("How many"),
        coerce=int,
        choices=[(number, str(number)) for number in (1, 2, 4, 6)],
        initial=1,
    )

    class Meta:
        model = Job
        fields = ("kind", "package")
