"""What ends a user's permission, as tests do it over HTTP."""

from __future__ import annotations

from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST


@csrf_exempt
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out."""
    logout(request)
    return HttpResponse(status=204)


@csrf_exempt
@require_POST
def flush(request: HttpRequest) -> HttpResponse:
    """End the session without a logout."""
    request.session.flush()
    return HttpResponse(status=204)


@csrf_exempt
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """Give the user another password, as Django's own form does: this browser stays signed in, the others do not."""
    user = request.user
    assert isinstance(user, User)
    user.set_password("another")
    user.save()
    update_session_auth_hash(request, user)
    return HttpResponse(status=204)
