"""Keys of providers: read from one Secrets Manager secret, kept a while, never printed. AWS: Secrets Manager.

The secret is a JSON object: {"OPENAI_API_KEY": "...", "MY_ENDPOINT": {"key": "...", "host": "llm.example.com"}}.
The key of a custom endpoint bears the host that it belongs to and goes to no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from . import aws
from .deadlines import in_time
from .errors import MillraceError, ProviderRefused

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HIDDEN = "***"
TTL_S = 300.0
READ_S = 1.5
"""A request waits no longer for the secret: the last keys stand until it can be read again."""
_RETRY_S = 10.0
"""How soon a secret that could not be read is read again."""


class Secret:
    """A text that shows itself to `reveal` alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is not written down.")


@dataclass
class Keys:
    """`client` is called when a key is first needed."""

    client: Callable[[], SecretsManagerClient]
    name: str
    clock: Callable[[], float] = time.monotonic
    _known: Mapping[str, tuple[Secret, str | None]] = field(default_factory=dict, repr=False)
    _fresh_until: float = field(default=float("-inf"), repr=False)

    def get(self, name: str, host: str | None = None) -> Secret | None:
        """The key of that name, None where there is none; ProviderRefused when it belongs to another host."""
        self._refresh()
        secret, bound = self._known.get(name, (None, None))
        if secret is not None and host != bound:
            raise ProviderRefused(f"The key {name} does not belong to {host or 'a provider of its own'}.")
        return secret

    def require(self, name: str, host: str | None = None) -> Secret:
        secret = self.get(name, host)
        if secret is None:
            raise ProviderRefused(f"There is no key: put {name} into the secret {self.name}.")
        return secret

    def scrub(self, text: str) -> str:
        """The text without any key in it."""
        for secret, _ in self._known.values():
            text = text.replace(secret.reveal(), HIDDEN)
        return text

    def _refresh(self) -> None:
        """A secret that cannot be read leaves the last one standing."""
        if self.clock() < self._fresh_until:
            return
        try:
            self._known, ttl_s = _parse(in_time(self._read, READ_S)), TTL_S
        except (MillraceError, KeyError, orjson.JSONDecodeError, TimeoutError):
            ttl_s = _RETRY_S
        self._fresh_until = self.clock() + ttl_s

    def _read(self) -> str:
        with aws.mapped(f"Reading the secret {self.name}"):
            return self.client().get_secret_value(SecretId=self.name)["SecretString"]


def _parse(text: str) -> dict[str, tuple[Secret, str | None]]:
    """Entries that are neither a key nor a key with its host are passed over."""
    found: Any = orjson.loads(text)
    known: dict[str, tuple[Secret, str | None]] = {}
    for name, value in found.items() if isinstance(found, dict) else ():
        key, host = (value.get("key"), value.get("host")) if isinstance(value, dict) else (value, None)
        if isinstance(key, str) and key.strip() and (host is None or isinstance(host, str)):
            known[name] = (Secret(key.strip()), host.lower() if host else None)
    return known
