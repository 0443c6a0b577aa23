"""The user's orders, and the buttons that change their state."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_GET, require_POST

from demo_project.accounts.people import signed_in
from demo_project.orders.models import Order, State
from sse_notify import notify

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

#: The items of the shop.
GOODS = (
    gettext_noop("A desk lamp"),
    gettext_noop("Two mugs"),
    gettext_noop("A pair of headphones"),
    gettext_noop("A fern"),
)
#: How many orders the page shows and watches.
SHOWN = 6


@require_GET
@login_required
def orders(request: HttpRequest) -> HttpResponse:
    """Show the user's newest orders, and one of another user to try to watch."""
    user = signed_in(request.user)
    mine = Order.objects.visible_to(user).select_related("owner")[:SHOWN]
    foreign = Order.objects.exclude(owner=user).select_related("owner").first()
    return render(request, "demo/orders.html", {"orders": mine, "foreign": foreign})


@require_GET
@login_required
def states(request: HttpRequest) -> HttpResponse:
    """Return the state of each order. The page fetches it whenever its stream opens."""
    mine = Order.objects.visible_to(signed_in(request.user))[:SHOWN]
    return JsonResponse({"orders": [order.as_event() for order in mine]})


@require_POST
@login_required
def place(request: HttpRequest) -> HttpResponse:
    """Place an order."""
    item = _(random.choice(GOODS))
    return redirect(Order.objects.create(owner=signed_in(request.user), item=item))


@require_POST
@login_required
@transaction.atomic
def advance(request: HttpRequest, pk: int) -> HttpResponse:
    """Move an order to its next state, which publishes it. Notify the owner of the last one."""
    order = get_object_or_404(
        Order.objects.visible_to(signed_in(request.user)).select_for_update(), pk=pk
    )
    if order.state != State.DELIVERED:
        order.move_on()
        if order.state == State.DELIVERED:
            title = _("Delivered: %(item)s") % {"item": order.item}
            notify(
                order.owner, title, level="success", url=order, category=_("Orders"), target=order
            )
    return redirect(order)
