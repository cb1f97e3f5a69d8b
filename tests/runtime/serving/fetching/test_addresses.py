"""Which addresses pictures may be fetched from, and how the hosts are named."""

from ipaddress import ip_address, ip_network

import pytest
from yarl import URL

from runtime.serving.fetching.addresses import is_allowed
from runtime.serving.fetching.allowed_hosts import find_host, parse_hosts
from runtime.serving.settings import ServingSettings, SettingsError

PUBLIC = (
    "93.184.215.14",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:2800:21f:cb07::1",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
)
FORBIDDEN = {
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "fc00::1", "fd12:3456::1"),
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "link-local": ("169.254.0.1", "fe80::1", "fec0::1"),
    "metadata": ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"),
    "shared": ("100.64.0.1", "100.127.255.254"),
    "nobody": ("0.0.0.0", "0.1.2.3", "255.255.255.255", "::"),
    "multicast": ("224.0.0.1", "239.1.2.3", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "192.88.99.1"),
    "documentation": ("2001:db8::1", "3fff::1", "100::1"),
    "mapped": ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::127.0.0.1"),
    "nat64": ("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::101:101"),
    "tunnels": ("2002:7f00:1::1", "2002:101:101::1", "2001:0:7f00:1::1"),
}  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(ip_address(address), None)


@pytest.mark.parametrize(("kind", "address"), [(kind, one) for kind, many in FORBIDDEN.items() for one in many])
def test_addresses_that_are_not_public_are_not(kind: str, address: str) -> None:
    assert not is_allowed(ip_address(address), None), kind


@pytest.mark.parametrize(
    ("address", "network", "expected"),
    [
        ("10.0.5.7", "10.0.5.0/24", True),
        ("::ffff:10.0.5.7", "10.0.5.0/24", True),
        ("10.0.6.7", "10.0.5.0/24", False),
        ("1.1.1.1", "10.0.5.0/24", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("::1", "::1/128", True),
        ("::1", "127.0.0.0/8", False),
        ("169.254.169.254", "0.0.0.0/0", False),
        ("100.100.100.200", "100.64.0.0/10", False),
        ("fd00:ec2::254", "fd00::/8", False),
        ("fd00:ec2::253", "fd00::/8", True),
    ],
)
def test_network_that_is_stated_holds_the_host_and_opens_no_metadata(
    address: str, network: str, expected: bool
) -> None:
    assert is_allowed(ip_address(address), ip_network(network)) is expected


@pytest.mark.parametrize(
    ("hosts", "url", "expected"),
    [
        ("images.example.org", "https://images.example.org/a.jpg", True),
        ("images.example.org", "http://IMAGES.example.ORG./a.jpg", True),
        ("images.example.org", "http://images.example.org:8080/", False),
        ("images.example.org", "http://images.example.org:443/", False),
        ("images.example.org:8080", "http://images.example.org:8080/", True),
        ("images.example.org:8080", "http://images.example.org/", False),
        ("images.example.org", "https://evil-images.example.org/", False),
        ("images.example.org", "https://images.example.org.evil.com/", False),
        ("*.example.org", "https://a.b.example.org/", True),
        ("*.example.org", "https://example.org/", False),
        ("*.example.org", "https://evilexample.org/", False),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://Bücher.example/", True),
        ("a.example, [::1]:80@::1/128", "http://[::1]/", True),
        ("127.0.0.1@127.0.0.1", "http://2130706433/", False),
        ("127.0.0.1@127.0.0.1", "http://[::ffff:127.0.0.1]/", False),
        ("", "https://images.example.org/", False),
    ],
)
def test_hosts_are_found_by_name_and_port(hosts: str, url: str, expected: bool) -> None:
    assert (find_host(parse_hosts(hosts), URL(url)) is not None) is expected


@pytest.mark.parametrize(
    "entry",
    [
        "https://a.example", "a.example/x", "user@a.example@x", "*", "*.org", "a.*.example", "*.10.0.0.1", "a:0",
        "a:70000", "a@10.0.0.1/8", "a@b", "a@169.254.169.254/32", "a@224.0.0.0/8", "a@fe80::/16", "a b",
        "169.254.169.254", "10.0.0.5:8080", "[::1]", "10.0.0.5@10.0.6.0/24", "169.254.169.254@0.0.0.0/0",
    ],
)  # fmt: skip
def test_entry_that_is_no_host_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("VISION_FETCH_HOSTS", f"good.example, {entry}")
    with pytest.raises(SettingsError) as raised:
        ServingSettings.read()
    assert "VISION_FETCH_HOSTS" in str(raised.value)
    assert repr(entry) in str(raised.value)


def test_nothing_is_fetched_unless_hosts_are_named() -> None:
    assert ServingSettings.read().fetch_hosts == ()
