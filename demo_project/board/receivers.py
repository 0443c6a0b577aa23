"""Sending from a signal, which works wherever the comment was saved."""

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
    """Notify the author of the post of a new comment by somebody else."""
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
        # Ten comments before the author reads them become one notification with the count 10.
        key=f"post:{post.pk}:comments",
    )
