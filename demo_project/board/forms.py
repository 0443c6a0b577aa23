"""Writing posts and comments."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from demo_project.board.models import Comment, Post


class PostForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A new post."""

    class Meta:
        model = Post
        fields = ("title", "body")
        widgets = {"body": forms.Textarea(attrs={"rows": 4})}


class CommentForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A new comment."""

    class Meta:
        model = Comment
        fields = ("body",)
        labels = {"body": _("Your comment")}
        widgets = {"body": forms.Textarea(attrs={"rows": 3})}
