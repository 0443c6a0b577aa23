"""The strictest Content Security Policy that a page with the bell needs, nothing inline, nothing from elsewhere; and a line per request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.utils.deprecation import MiddlewareMixin

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

logger = logging.getLogger("demo.request")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Scripts may not turn text into markup. Django's admin still does, through jQuery.
_TRUSTED_TYPES = "; require-trusted-types-for 'script'"


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Sends the policy with every answer that does not bring its own."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Add the header."""
        in_admin = getattr(request.resolver_match, "app_name", "") == "admin"
        response.headers.setdefault(
            "Content-Security-Policy", _POLICY if in_admin else _POLICY + _TRUSTED_TYPES
        )
        return response


class RequestLogMiddleware(MiddlewareMixin):
    """Logs each request, without what comes after the "?": there may be secrets, such as a signed link's."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Write the line; for a stream, when it begins."""
        logger.info("%s %s %d", request.method, request.path, response.status_code)
        return response
