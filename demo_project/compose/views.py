"""Sending from an ordinary view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group, User
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

import sse_notify
from demo_project.accounts.people import signed_in
from demo_project.compose.forms import EVERYONE, OTHERS, STAFF, ComposeForm
from sse_notify import broadcast, notify

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@login_required
def compose(request: HttpRequest) -> HttpResponse:
    """Show the form, and send the notification."""
    user = signed_in(request.user)
    form = ComposeForm(request.POST or None, sender=user, initial=request.GET.dict())
    if request.method == "POST" and form.is_valid():
        try:
            send(user, **form.cleaned_data)
        except ValueError as error:  # it names the argument: the form's fields have the same names
            field, _space, problem = str(error).partition(" ")
            form.add_error(field if field in form.fields else None, capfirst(problem))
        else:
            messages.success(request, _("Sent. Whoever it is for has it by now."))
            return redirect(reverse("compose:form", query={"to": form.cleaned_data["to"]}))
    return render(request, "demo/compose.html", {"form": form})


def send(sender: User, *, to: str, **content: Any) -> None:
    """Send to an audience of the form: "user:5", "group:3", "everyone", "others" or "staff"."""
    kind, _colon, pk = to.partition(":")
    if kind == "user":
        notify(User.objects.get(pk=pk), actor=sender, **content)
    elif kind == "group":
        broadcast(audience=Group.objects.get(pk=pk), actor=sender, **content)
    elif kind == STAFF:
        broadcast(audience=sse_notify.STAFF, actor=sender, **content)
    elif kind == OTHERS:
        broadcast(exclude=[sender], actor=sender, **content)
    elif kind == EVERYONE:
        broadcast(actor=sender, **content)
