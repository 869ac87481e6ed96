"""Who may see the page, and who may act from it: pure checks of one request.

The address that a command prints has a random token. The page it opens gives the browser a cookie
that no script can read and no other site's request carries, and has the token of acts in its data,
which other sites cannot read. An act is a POST from the page itself with that token.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["COOKIE", "CSRF_HEADER", "HEADERS", "PageKeys"]

COOKIE = "testbed-watch"
CSRF_HEADER = "x-testbed-watch"
POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'",
        "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""of every answer"""


def _random() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class PageKeys:
    """The secrets of one server, and the hosts it answers to (`127.0.0.1:8700`)."""

    hosts: frozenset[str]
    token: str = field(default_factory=_random, repr=False)
    """in the address that opens the page"""
    cookie: str = field(default_factory=_random, repr=False)
    csrf: str = field(default_factory=_random, repr=False)

    def opens(self, token: str | None) -> bool:
        """Whether the address is the one that was printed."""
        return _same(token, self.token)

    def refusal(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """Why a request may not see anything; nothing if it may."""
        if headers.get("host", "") not in self.hosts:
            return "this server answers to its own address alone"
        if not _same(cookies.get(COOKIE), self.cookie):
            return (
                "this page needs its token: open the address that `testbed watch` printed, with "
                "what stands behind the question mark"
            )
        return ""

    def act_refusal(self, headers: Mapping[str, str]) -> str:
        """Why a request that may see may not act; nothing if it may."""
        origin = headers.get("origin", "")
        if origin.removeprefix("http://") not in self.hosts:
            return "acts are taken from the page itself alone, and not from another site"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "acts are taken from the page itself alone, and not from another site"
        if not _same(headers.get(CSRF_HEADER), self.csrf):
            return "the page is of a server that has ended; load it anew"
        return ""


def _same(given: str | None, known: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), known.encode())
