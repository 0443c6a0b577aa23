"""The addresses of the orders."""

from __future__ import annotations

from django.urls import path

from demo_project.orders import views

app_name = "orders"

urlpatterns = [
    path("", views.orders, name="list"),
    path("states/", views.states, name="states"),
    path("place/", views.place, name="place"),
    path("<int:pk>/advance/", views.advance, name="advance"),
]
