"""The hosts that pictures may be fetched from, as `VISION_FETCH_HOSTS` names them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from yarl import URL

from runtime.serving.fetching.addresses import NEVER, Address, Network, is_allowed

_ENTRY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s@/\[\]:*?#]+)(:(?P<port>[0-9]{1,5}))?(@(?P<network>[^@\s]+))?")
_HOW = "an entry is HOST, HOST:PORT or HOST@NETWORK, such as images.example.org, *.example.org:8443, camera@10.0.5.0/24"


@dataclass(frozen=True)
class AllowedHost:
    """A host, or all hosts below one.

    name: in lower case, without the `*.` before it. is_below: whether the hosts below it are meant, and not itself.
    port: None for the scheme's own. network: in which all of its addresses must lie; None: they must be public.
    """

    name: str
    is_below: bool
    port: int | None
    network: Network | None

    def matches(self, url: URL) -> bool:
        """Tell whether an address with a host is this host's."""
        host = (url.raw_host or "").lower().removesuffix(".")
        is_host = host.endswith(f".{self.name}") if self.is_below else host == self.name
        return is_host and (url.is_default_port() if self.port is None else url.port == self.port)


def find_host(hosts: Iterable[AllowedHost], url: URL) -> AllowedHost | None:
    """Return the first entry that an address belongs to, None if it belongs to none."""
    return next((host for host in hosts if host.matches(url)), None)


def parse_hosts(text: str) -> tuple[AllowedHost, ...]:
    """Read entries with commas between them; an empty text is none. Raises ValueError naming the entry."""
    return tuple(_parse(entry.strip()) for entry in text.split(",") if entry.strip())


def _parse(entry: str) -> AllowedHost:
    is_below = entry.startswith("*.")
    found = _ENTRY.fullmatch(entry.removeprefix("*."))
    if not found:
        raise ValueError(f"{entry!r} is not a host: {_HOW}")
    name = _host_name(found["host"], entry)
    network = _network(found["network"], entry)
    address = _address(name)
    if is_below and (address or ("." not in name and network is None)):
        raise ValueError(f"{entry!r} is too wide: name a domain with a dot in it, or the network of its hosts")
    if address and not is_allowed(address, network):
        how = "which is not public, or not in that network; name its network, as in 10.0.5.7@10.0.5.0/24"
        raise ValueError(f"{entry!r}: nothing is fetched from {name}, {how}")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"{entry!r}: a port is 1 to 65535")
    return AllowedHost(name, is_below, port, network)


def _host_name(host: str, entry: str) -> str:
    """Return a host as addresses have it: in lower case, and in ASCII where it has other letters."""
    try:
        return (URL.build(scheme="http", host=host.strip("[]")).raw_host or "").lower().removesuffix(".")
    except ValueError as exc:
        raise ValueError(f"{entry!r} is not a host: {exc}") from exc


def _address(name: str) -> Address | None:
    """Return the address that a host is written as, None if it is a name."""
    try:
        return ip_address(name)
    except ValueError:
        return None


def _network(text: str | None, entry: str) -> Network | None:
    if text is None:
        return None
    try:
        network = ip_network(text)
    except ValueError as exc:
        raise ValueError(f"{entry!r}: {exc}; a network is written as 10.0.5.0/24 or fd12::/64") from exc
    for never in NEVER:
        if never.version == network.version and network[0] in never and network[-1] in never:
            raise ValueError(f"{entry!r}: nothing is ever fetched from {never}")
    return network
