"""The rule for addresses that are trusted: HTTPS, or plain HTTP on this machine."""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""The accepted names of this machine; its other names and addresses are refused, whoever names them."""
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


def is_loopback(url: str) -> bool:
    """True when an accepted URL leads to this machine."""
    return urlsplit(url).hostname in LOOPBACK


def fault_of(untrusted_url: str) -> str | None:
    """Return what is wrong with the URL; None if its server may be trusted."""
    try:
        parts = urlsplit(untrusted_url)
        _ = parts.port  # raises ValueError for a malformed port
    except ValueError:
        return "must be a URL"
    is_clean = untrusted_url.isascii() and untrusted_url.isprintable() and " " not in untrusted_url
    if not is_clean or not _HOST.fullmatch(parts.hostname or ""):
        return "must be a URL such as https://issuer.example"
    if parts.username is not None or parts.fragment:
        return "must have no user name, password or fragment"
    return _fault_of_server(parts.scheme, parts.hostname or "")


def _fault_of_server(scheme: str, host: str) -> str | None:
    if host in LOOPBACK and scheme in ("http", "https"):
        return None
    if scheme != "https":
        return "must start with https:// (http:// is accepted on the loopback address only)"
    if _is_local(host):
        return "must not lead to this machine by another name than 127.0.0.1, nor to a link-local address"
    return None


def _is_local(host: str) -> bool:
    """True for this machine and for link-local servers, such as the one that hands out the credentials of a role."""
    name = host.rstrip(".").lower()
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host name spells; None for a name that must be looked up.

    The C library also reads 127.1, 0x7f000001 and 2130706433 as addresses.
    """
    try:
        address = ip_address(name)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(name))
        except OSError:
            return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
