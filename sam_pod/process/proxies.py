"""Proxies of the environment: none within this machine, named between machines.

gRPC carries what workers and the hosts of a TPU send to each other. It uses the first
of grpc_proxy, https_proxy and http_proxy that is set, in small letters, for every host
whose name does not end in an entry of no_grpc_proxy or, where that is not set, of
no_proxy. It knows neither `*` nor 10.0.0.0/8 there, and no capital letters. The clients
of buckets know no_proxy and NO_PROXY.
"""

import contextlib
import ipaddress
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterable

# This machine, and where a machine in a cloud asks about itself.
_OURS = (
    "localhost",
    "127.0.0.1",
    "::1",
    "[::1]",
    "0.0.0.0",
    "169.254.169.254",
    "metadata.google.internal",
)
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy")
_SPARED = ("no_proxy", "NO_PROXY")
_SPARED_BY_GRPC = "no_grpc_proxy"


def spare(hosts: Iterable[str] = ()) -> str:
    """Let no proxy stand before this machine; say which one stands before the others.

    Call it before gRPC connects. Without a proxy nothing is changed.

    Args:
        hosts: Names or addresses of all hosts to connect to.

    Returns:
        A sentence that names the proxy, the hosts behind it and what helps; '' when
        each host is this machine or one that the user's no_proxy spares.
    """
    hosts = list(hosts)
    if not any(os.environ.get(n) for p in _PROXIES for n in (p, p.upper())):
        return ""
    wanted = _entries(*_SPARED)
    here = [host for host in hosts if _is_own(host)]
    spared = [h for h in hosts if h in here or _is_spared(h, wanted)]
    for name in _SPARED:
        if "*" not in wanted and (name == _SPARED[0] or name in os.environ):
            _add(name, [*wanted, *_OURS, *here])
    _add(_SPARED_BY_GRPC, [*(_entries(_SPARED_BY_GRPC) or wanted), *_OURS, *spared])
    others = [host for host in hosts if host not in spared]
    return _warning(others) if others else ""


def _warning(hosts: list[str]) -> str:
    """Return a warning about the proxy that gRPC takes to some hosts; '' for none."""
    name = next((n for n in _PROXIES[:3] if n in os.environ), "")
    ends = tuple(_entries(_SPARED_BY_GRPC))
    behind = [host for host in hosts if not host.endswith(ends)]
    if not os.environ.get(name) or not behind:
        return ""
    listing = ",".join(behind[:3]) + (",…" if len(behind) > 3 else "")
    return (
        f"{name} puts the proxy {_without_password(os.environ[name])} between this "
        f"machine and {listing}: few proxies let gRPC through. If the machines do not "
        f"find each other, set no_proxy={listing}."
    )


def _without_password(proxy: str) -> str:
    url = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return url.netloc.rpartition("@")[2]


def _entries(*names: str) -> list[str]:
    """Return the hosts that the first of these variables lists."""
    text = next((os.environ[name] for name in names if name in os.environ), "")
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _add(name: str, hosts: Iterable[str]) -> None:
    os.environ[name] = ",".join(dict.fromkeys(hosts))


def _is_own(host: str) -> bool:
    """Return whether a name or an address is this machine's."""
    name = host.strip("[]")
    if name in _OURS:
        return True
    with contextlib.suppress(OSError, UnicodeError):
        for family, _, _, _, address in socket.getaddrinfo(name, 0):
            with contextlib.suppress(OSError), socket.socket(family) as probe:
                probe.bind(address)
                return True
    return False


def _is_spared(host: str, wanted: list[str]) -> bool:
    """Return whether the user's no_proxy means a host, as curl and Python read it."""
    name = host.strip("[]")
    no = {"no": ",".join(entry.lstrip("*") or "*" for entry in wanted)}
    if "*" in wanted or urllib.request.proxy_bypass_environment(name, no):
        return True
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name)
        for entry in wanted:
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
    return False
