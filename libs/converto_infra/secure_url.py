"""The rule for addresses that keys are fetched from: HTTPS, or plain HTTP on this machine."""

from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(url: str) -> bool:
    """True when the URL leads to this machine."""
    return urlsplit(url).hostname in LOOPBACK


def fault_of(untrusted_url: str) -> str | None:
    """Return what is wrong with the URL; None if keys may be fetched from it."""
    try:
        parts = urlsplit(untrusted_url)
        _ = parts.port  # raises ValueError for a malformed port
    except ValueError:
        return "must be a URL"
    if not parts.hostname or not untrusted_url.isascii() or not untrusted_url.isprintable() or " " in untrusted_url:
        return "must be a URL such as https://issuer.example"
    if parts.username is not None or parts.fragment:
        return "must have no user name, password or fragment"
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return "must start with https:// (http:// is accepted on the loopback address only)"
    return None
