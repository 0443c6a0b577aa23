"""Orders in the admin. Saving another state also updates the timeline on the owner's page."""

from __future__ import annotations

from django.contrib import admin

from demo_project.orders.models import Order


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Orders."""

    list_display = ("item", "owner", "state")
    list_filter = ("state",)
    list_select_related = ("owner",)
    readonly_fields = ("reached",)
