"""The board, and one post of it with its comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from demo_project.accounts.people import signed_in
from demo_project.board.forms import CommentForm, PostForm
from demo_project.board.models import Post
from sse_notify import broadcast

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_PER_PAGE = 20


@login_required
def board(request: HttpRequest) -> HttpResponse:
    """Show the posts, newest first; save a new one and notify everyone else."""
    user = signed_in(request.user)
    form = PostForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.author = user
        post = form.save()
        title = _("%(name)s posted “%(post)s”") % {
            "name": user.get_short_name(),
            "post": post.title,
        }
        broadcast(
            title,
            exclude=[user],
            url=post.get_absolute_url(),
            category=_("Posts"),
            actor=user,
            target=post,
        )
        messages.success(request, _("Posted. Everyone else has heard of it."))
        return redirect(post)
    posts = (
        Post.objects.select_related("author")
        .annotate(comment_count=Count("comments"))
        .order_by("-created_at", "-pk")
    )
    page = Paginator(posts, _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "demo/board.html", {"page": page, "form": form})


@login_required
def post(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one post with its comments; save a new one. The signal notifies the author."""
    shown = get_object_or_404(Post.objects.select_related("author"), pk=pk)
    form = CommentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.instance.post = shown
        form.instance.author = signed_in(request.user)
        return redirect(form.save())
    comments = shown.comments.select_related("author")
    return render(request, "demo/post.html", {"post": shown, "comments": comments, "form": form})
