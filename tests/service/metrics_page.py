"""Reading what `/metrics` says."""

import re
from functools import cache

import httpx

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@cache
def _client() -> httpx.Client:
    """One for all, because to make one, which reads all certificates, takes longer than to ask."""
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=100)


def read_metrics(url: str) -> Series:
    """Return each series' value by name and labels."""
    series: Series = {}
    page = _client().get(f"{url}/metrics").raise_for_status()
    for line in page.text.splitlines():
        if not line.startswith("#"):
            name_and_labels, _, value = line.rpartition(" ")
            name, _, labels = name_and_labels.partition("{")
            series[name, frozenset(_LABEL.findall(labels))] = float(value)
    return series


def total(series: Series, name: str, **labels: str) -> float:
    """Sum the series of that name that carry at least these labels."""
    return sum(value for (n, found), value in series.items() if n == name and set(labels.items()) <= found)
