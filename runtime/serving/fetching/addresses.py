"""Which addresses of the network a picture may be fetched from: public ones, and those that the operator names."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
# Beyond what `ipaddress` calls not global, whose list changed within Python 3.11.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),  # the last: Azure's machines' own
        # Tunnels (Teredo, 6to4) lead to an address of version 4 that nobody checked; local NAT64 to any.
        *("::/8", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
# What answers there hands out credentials of the machine, or is nobody: not even a statement opens it.
NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/128", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "ff00::/8"),
    )
)


def is_allowed(address: Address, network: Network | None) -> bool:
    """Tell whether a connection may be made to an address.

    network: what the operator says of the host: its addresses lie there, public or not; None: they must be public. An
    IPv4 address written as IPv6 (mapped, or by NAT64) is judged as what it is.
    """
    address = _plain(address)
    if any(_lies_in(address, never) for never in NEVER):
        return False
    if network is not None:
        return _lies_in(address, network)
    return address.is_global and not any(_lies_in(address, closed) for closed in _NOT_PUBLIC)


def _plain(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _lies_in(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network
