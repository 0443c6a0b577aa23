"""Sending from an async view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.shortcuts import aget_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from demo_project.accounts.people import signed_in
from sse_notify import anotify

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@login_required
def people(request: HttpRequest) -> HttpResponse:
    """Show all users, including the visitor, who can try it alone."""
    users = (
        User.objects.filter(is_active=True)
        .order_by("first_name", "username")
        .prefetch_related("groups")
    )
    return render(request, "demo/people.html", {"users": users, "me": signed_in(request.user)})


@require_POST
@login_required
async def wave(request: HttpRequest, pk: int) -> HttpResponse:
    """Wave at one person."""
    me = signed_in(await request.auser())
    colleague = await aget_object_or_404(User, pk=pk, is_active=True)
    await anotify(
        colleague,
        _("%(name)s waves at you") % {"name": me.get_short_name()},
        url=reverse("people:list"),
        category=_("People"),
        actor=me,
        key=f"wave:{me.pk}",
    )
    messages.success(request, _("You waved at %(name)s.") % {"name": colleague.get_short_name()})
    return redirect("people:list")
