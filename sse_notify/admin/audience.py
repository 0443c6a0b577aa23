"""The form that asks whom a broadcast is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin import widgets
from django.contrib.admin.exceptions import NotRegistered
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _

from sse_notify.admin.addressees import Addressees, has_field
from sse_notify.models import Audience, Notification

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
    from django.http import HttpRequest

#: Names that may be typed or pasted at once.
MAX_NAMES = 1000


class AudienceForm(forms.Form):
    """Whom a notification is for. Only what belongs to the chosen audience counts; the page hides the rest.

    Args:
        admin_site: where the user model may be registered: if it can be searched there, users are found by typing.
        request: who asks.
    """

    audience = forms.ChoiceField(
        label=_("For"),
        widget=widgets.AdminRadioSelect(attrs={"class": "radiolist"}),
        initial=Audience.EVERYONE,
    )
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        label=_("Groups"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Who is in several of them gets it once."),
    )
    users: Any = forms.ModelMultipleChoiceField(
        None, label=_("Users"), required=False, help_text=_("Type to find them.")
    )
    names = forms.CharField(
        label=_("Names"),
        required=False,
        widget=forms.Textarea(attrs={"class": "vLargeTextField", "rows": 3}),
        help_text=_("The names that users sign in with, one in each line."),
    )

    def __init__(
        self, *args: Any, admin_site: AdminSite, request: HttpRequest, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        kinds = [(Audience.EVERYONE, Audience.EVERYONE.label)]
        if hasattr(get_user_model(), "is_staff"):
            kinds.append((Audience.STAFF, Audience.STAFF.label))
        if has_field("groups"):
            kinds.append((Audience.GROUP, _("Groups")))
        else:
            del self.fields["groups"]
        self.fields["audience"].choices = [*kinds, (Audience.USER, _("Chosen users"))]  # type: ignore[attr-defined]
        if _can_search(admin_site, request):
            # The field only names the relation that Django's view for completion follows.
            widget = widgets.AutocompleteSelectMultiple(
                Notification._meta.get_field("excluded"), admin_site
            )
            users: Any = self.fields["users"]
            users.widget = widget
            users.queryset = get_user_model()._default_manager.all()
        else:
            del self.fields["users"]

    def clean(self) -> dict[str, Any]:
        """Have what the chosen audience needs."""
        data = self.cleaned_data
        if data.get("audience") == Audience.GROUP and "groups" in data and not data["groups"]:
            self.add_error("groups", _("Choose one at least."))
        if data.get("audience") == Audience.USER and not self.errors:
            data["keys"] = self._keys(data)
        return data

    def _keys(self, data: dict[str, Any]) -> set[Any]:
        """Return the keys of the chosen users; complain about names that nobody has."""
        model = get_user_model()
        keys = {user.pk for user in data.get("users") or ()}
        names = list(
            dict.fromkeys(filter(None, map(str.strip, data.get("names", "").splitlines())))
        )
        if not names and not keys:
            self.add_error("names", _("Choose one at least."))
        if len(names) > MAX_NAMES:
            self.add_error("names", _("At most %(most)s names at once.") % {"most": MAX_NAMES})
            return keys
        found = dict(
            model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names}).values_list(
                model.USERNAME_FIELD, "pk"
            )
        )
        unknown = [name for name in names if name not in found]
        if unknown:
            self.add_error(
                "names", _("Nobody has this name: %(names)s") % {"names": ", ".join(unknown)}
            )
        return keys | set(found.values())

    @property
    def addressees(self) -> Addressees:
        """Whom a valid form names."""
        data = self.cleaned_data
        audience = Audience(data["audience"])
        if audience == Audience.GROUP:
            return Addressees(audience=audience, groups=tuple(data["groups"]))
        if audience == Audience.USER:
            return Addressees(
                audience=audience,
                users=get_user_model()._default_manager.filter(pk__in=data["keys"]),
            )
        return Addressees(audience=audience)

    @property
    def fieldsets(self) -> Any:
        """The fields in the order of the page, as Django's admin describes them."""
        return [(_("Audience"), {"fields": list(self.fields)})]


def _can_search(admin_site: AdminSite, request: HttpRequest) -> bool:
    """Return whether users can be found by typing: their admin is on this site, has search fields, and is open to who asks."""
    try:
        users = admin_site.get_model_admin(get_user_model())
    except NotRegistered:
        return False
    return bool(users.get_search_fields(request)) and users.has_view_permission(request)
