"""Where a key may be sent: over TLS, or within this machine."""

from __future__ import annotations

import ipaddress

import httpx

from workflows.cloud.errors import PermanentError

CLOUD_URL = "https://saas-api.tmprl.cloud"
URL_VARIABLE = "PLANNER_CLOUD_URL"


def checked(url: str) -> httpx.URL:
    """Return *url* if a key may be sent there.

    Raises:
        PermanentError: It is no URL, or would carry the key in the clear.
    """
    try:
        parsed = httpx.URL(url.strip().rstrip("/"))
    except httpx.InvalidURL as error:  # not quoted: somebody may have put a password in
        raise PermanentError(f"the Cloud API's URL is none ({error}): write {CLOUD_URL}") from None
    if parsed.userinfo or parsed.query or parsed.fragment or not parsed.host:
        shown = parsed.copy_with(userinfo=b"", query=None, fragment=None)
        raise PermanentError(
            f"the Cloud API's URL, '{shown}', needs scheme and host and nothing more, as in "
            f"{CLOUD_URL}"
        )
    if parsed.scheme == "https" or (parsed.scheme == "http" and _is_loopback(parsed.host)):
        return parsed
    raise PermanentError(
        f"{parsed} would carry the API key in the clear: use https, as in "
        f"{CLOUD_URL}, or http to this machine, as in http://127.0.0.1:8081"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
