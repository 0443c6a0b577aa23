"""The board in the admin. A comment written here also notifies, through the signal."""

from __future__ import annotations

from django.contrib import admin

from demo_project.board.models import Comment, Post


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Posts."""

    list_display = ("title", "author", "created_at")
    list_select_related = ("author",)
    search_fields = ("title", "body")


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Comments."""

    list_display = ("__str__", "post", "author", "created_at")
    list_select_related = ("post", "author")
    search_fields = ("body",)
