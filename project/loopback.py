"""Servers on this machine are asked directly, whatever proxy the environment names for the rest of the world.

A proxy cannot reach another machine's loopback, and clients (urllib, requests, httpx) ask it all the same unless
NO_PROXY says otherwise.
"""

import ipaddress
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from urllib.parse import urlsplit

_PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy")


def is_loopback(url: str) -> bool:
    """Tell whether a URL is of this machine: `localhost` and names below it, 127.0.0.0/8, [::1], 0.0.0.0 and [::]."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def ask_directly(url: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the URL's host to both spellings of NO_PROXY if it is of this machine, for clients that read only those."""
    if not is_loopback(url):
        return
    host = urlsplit(url).hostname or ""
    hosts = [host, f"[{host}]"] if ":" in host else [host]
    # The small spelling is read first where both are there, so what either says must be in both.
    known = [name for key in ("no_proxy", "NO_PROXY") for name in environment.get(key, "").split(",")]
    names = dict.fromkeys(name.strip() for name in [*known, *hosts] if name.strip())
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(names)


@contextmanager
def without_proxies(environment: MutableMapping[str, str] = os.environ) -> Iterator[None]:
    """Take the proxies out of the environment for as long as nothing but this machine is asked."""
    taken = {key: value for key, value in environment.items() if key.lower() in _PROXY_NAMES}
    for key in taken:
        del environment[key]
    try:
        yield
    finally:
        environment.update(taken)
