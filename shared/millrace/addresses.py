"""Where a custom URL may lead: public addresses over https, and what the operator allows. Pure but for `resolve`.

Every address that a name resolves to is checked, and the checked address itself is connected to, so that a second
answer of the name server changes nothing. Source: OWASP, "Server-Side Request Forgery Prevention".
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from .errors import InvalidInput

Address = IPv4Address | IPv6Address
UNIX = "unix:"
METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23"))
)
"""Where a machine's own credentials are read; no operator can allow these."""
_NAT64 = IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/%-]*)?")
"""Nothing in which two readers of URLs could see two hosts; a name beyond ASCII is written as punycode."""
_HOST = re.compile(r"[a-z0-9_-]([a-z0-9._-]*[a-z0-9_-])?|[0-9a-f:.]+")


@dataclass(frozen=True)
class Allowed:
    """What the operator lets a custom URL reach although it is private, and over plain http."""

    hosts: frozenset[str] = frozenset()
    """`name`, `name:port` or `unix:/path`."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """A comma list of hosts and CIDR networks."""
        hosts, networks = set(), []
        for part in filter(None, (part.strip() for part in text.split(","))):
            if "/" in part and not part.startswith(UNIX):
                networks.append(ip_network(part, strict=False))
            else:
                hosts.add(part if part.startswith(UNIX) else part.lower())
        return cls(frozenset(hosts), tuple(networks))

    def host(self, host: str, port: int) -> bool:
        return host in self.hosts or f"{host}:{port}" in self.hosts

    def address(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


@dataclass(frozen=True)
class Target:
    """A URL that may be called, as far as its text can tell."""

    scheme: str
    host: str
    port: int
    path: str = ""


def check_url(url: str, allowed: Allowed) -> Target:
    """InvalidInput where no address that the name could have would do. The addresses are checked on connecting."""
    if url.startswith(UNIX):
        if url not in allowed.hosts:
            raise InvalidInput(f"{url} is a local socket that the operator has not allowed.")
        return Target("unix", url.removeprefix(UNIX), 0)
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise InvalidInput(f"That endpoint is no URL: {error}.") from error
    if parts.scheme not in _PORTS or not _PLAIN.fullmatch(url) or not _HOST.fullmatch(host):
        raise InvalidInput("An endpoint is https://host[:port][/path], without a user, a query or a fragment.")
    literal = _literal(host)
    named = allowed.host(host, port) or (literal is not None and allowed.address(literal))
    if parts.scheme == "http" and not named:
        raise InvalidInput(f"{host} must be reached over https.")
    if literal is not None:
        check_address(literal, host, port, allowed)
    return Target(parts.scheme, host, port, parts.path)


def check_address(address: Address, host: str, port: int, allowed: Allowed) -> None:
    """InvalidInput for an address inside a network of ours or of the machine itself."""
    plain = unwrap(address)
    if plain in METADATA or (not _public(plain) and not allowed.host(host, port) and not allowed.address(plain)):
        raise InvalidInput(f"{host} leads to an address that is not public; ask the operator to allow it.")


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, if it does."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
    return address


def resolve(host: str, port: int, allowed: Allowed) -> list[str]:
    """Every address of a name, each of them checked; OSError where it has none."""
    found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    addresses = list(dict.fromkeys(str(address).partition("%")[0] for address in found))
    for address in addresses:
        check_address(ip_address(address), host, port, allowed)
    return addresses


def _public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
