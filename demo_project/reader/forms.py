"""The form for the page and the speed."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from demo_project.handbook.pages import Page, pages


class ReadForm(forms.Form):
    """A page of the documentation, and a pause."""

    page = forms.ChoiceField(
        label=_("Page"), choices=lambda: [(name, page.title) for name, page in pages().items()]
    )
    pause = forms.TypedChoiceField(
        label=_("Speed"),
        choices=[("0.12", _("slow")), ("0.03", _("quick")), ("0", _("as fast as it goes"))],
        initial="0.03",
        coerce=float,
    )

    def clean_page(self) -> Page:
        """Return the page with this name."""
        return pages()[self.cleaned_data["page"]]
