"""Forms that validate the input of the inbox's views: a form, JSON or a query string."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sse_notify.inbox.marks import CLIENT_LENGTH
from sse_notify.models.paging import Place
from sse_notify.sse.format import MAX_CURSOR

#: The most ids in one request. To mark more, clients send ``up_to``.
MAX_IDS = 1000
#: Items of a page: the default and the maximum.
PAGE, MAX_PAGE = 20, 100

#: Text that UTF-8 can encode. A client may name a charset, such as UTF-7, that has lone surrogates.
_STORABLE = r"\A[^\ud800-\udfff]*\Z"


class MarkForm(forms.Form):
    """``{ids: [...]}`` or ``{up_to: seq}``, and ``client``, the page that sends it.

    An HTML form also posts ``next``, the URL to redirect to.
    """

    ids = forms.Field(required=False, widget=forms.MultipleHiddenInput)
    up_to = forms.IntegerField(required=False, min_value=0, max_value=MAX_CURSOR)
    client = forms.RegexField(r"\A[ -~]*\Z", required=False, strip=False, max_length=CLIENT_LENGTH)
    next = forms.RegexField(_STORABLE, required=False, strip=True)

    @classmethod
    def from_request(cls, request: HttpRequest) -> MarkForm:
        """Return the form, bound to the body of the request: JSON or a form.

        Raises:
            ValueError, RecursionError: the content type is JSON, but the body is no JSON object, or
                one that is nested too deeply.
        """
        if not is_json(request):
            return cls(request.POST)
        body = json.loads(request.body)
        if not isinstance(body, dict):
            raise ValueError("not an object")
        return cls({name: value for name, value in body.items() if value is not None})

    def clean_ids(self) -> list[int]:
        """Return the ids as integers: from a repeated form field, or from a JSON list."""
        ids = self.cleaned_data["ids"]
        if ids is None:
            return []
        if not isinstance(ids, list):
            raise forms.ValidationError(_("Enter a list of ids."), code="invalid")
        if len(ids) > MAX_IDS:
            raise forms.ValidationError(_("Too many ids for one request."), code="too_many")
        number = forms.IntegerField(min_value=0, max_value=MAX_CURSOR)
        return [number.clean(id) for id in ids]

    def clean(self) -> dict[str, Any]:
        """Require either ``ids`` or ``up_to``; set ``marks``, the inbox function's arguments."""
        data = self.cleaned_data
        given = [name for name in ("ids", "up_to") if name in self.data]
        self.marks = {name: data.get(name) for name in (*given, "client")}
        if len(given) != 1:
            self.add_error("ids", _("Enter either ids or up_to, not both."))
        elif "up_to" in given and data.get("up_to", 0) is None:
            self.add_error("up_to", forms.IntegerField.default_error_messages["invalid"])
        return data


class PageForm(forms.Form):
    """The query for a page of items: ``before``, ``limit``, ``category`` and ``state``."""

    before = forms.CharField(required=False)
    limit = forms.IntegerField(required=False, min_value=1, max_value=MAX_PAGE)
    category = forms.RegexField(_STORABLE, required=False, strip=False, max_length=100)
    state = forms.ChoiceField(
        required=False, choices=[("unread", _("Unread")), ("archived", _("Archived"))]
    )

    def clean_before(self) -> Place | None:
        """Return the place that the ``next`` of the previous page names; ``None`` for the top."""
        text = self.cleaned_data["before"]
        try:
            return Place.parse(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(RegexValidator.message, code="invalid") from error


def is_json(request: HttpRequest) -> bool:
    """Return whether the request's content type is JSON."""
    return request.content_type == "application/json"


def first_error(form: forms.Form) -> tuple[str, str]:
    """Return the first invalid field and its error message."""
    field, errors = next(iter(form.errors.items()))
    return field, str(errors[0])
