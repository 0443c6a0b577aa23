"""Sending from a signal: it makes no difference who saved the comment, or from where."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from demo_project.board.models import Comment
from sse_notify import notify


@receiver(post_save, sender=Comment)
def tell_the_author(instance: Comment, *, created: bool, raw: bool, **kwargs: Any) -> None:
    """Tell the author of the post about a new comment by somebody else."""
    post = instance.post
    if not created or raw or instance.author_id == post.author_id:
        return
    notify(
        post.author,
        _("%(name)s commented on “%(post)s”")
        % {"name": instance.author.get_short_name(), "post": post.title},
        Truncator(instance.body).chars(140),
        url=instance.get_absolute_url(),
        category=_("Comments"),
        actor=instance.author,
        target=post,
        # Ten comments before the author looks are one notification that counts to ten.
        key=f"post:{post.pk}:comments",
    )
