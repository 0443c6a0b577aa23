"""A strict Content Security Policy that a page with the bell can have, and a log of requests.

The policy allows nothing inline and nothing from other sites.
"""

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
#: Scripts must not turn text into markup. Django's admin still does, through jQuery.
_TRUSTED_TYPES = "; require-trusted-types-for 'script'"


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Adds the policy to every response that has none."""

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
    """Logs each request without its query, which may hold a secret such as a signed link."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Write the line. For a stream, this is when it begins."""
        logger.info("%s %s %d", request.method, request.path, response.status_code)
        return response
