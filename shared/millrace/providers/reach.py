"""What a provider needs to reach its model: key, URL, client. AWS: Secrets Manager, through Keys.

A key of ours goes only to its provider's own host, or to the one that the operator put in its place. A catalogue row
can name a URL only together with a key of that host.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from .. import aws
from ..addresses import UNIX, Allowed, check_url
from ..catalogue import Entry
from ..deadlines import in_time
from ..errors import InvalidInput, MillraceError, ProviderRefused, Unavailable
from ..keys import Keys, Secret
from ..settings import Providers
from ..wire import Wire
from . import PROVIDERS, other_urls

if TYPE_CHECKING:
    import httpx2

MAX_CLIENTS = 64


@dataclass
class Reach:
    keys: Keys
    allowed: Allowed = field(default_factory=Allowed)
    urls: dict[str, str] = field(default_factory=dict)
    """Provider -> base URL that takes the place of its own."""
    _open: Allowed | None = field(default=None, repr=False)
    _wire: Wire = field(default_factory=Wire, repr=False)
    _clients: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _loaded: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, settings: Providers) -> Reach:
        keys, allowed = Keys(aws.secretsmanager, settings.provider_secret), Allowed.parse(settings.egress_allow)
        return cls(keys, allowed, other_urls(settings.provider_urls))

    def url(self, entry: Entry) -> str:
        """ProviderRefused where the row has none or one that must not be reached."""
        spec = PROVIDERS[entry.provider]
        if not spec.own_url:
            return self.urls.get(entry.provider) or str(spec.url)
        if not entry.base_url:
            raise ProviderRefused(f"{entry.id} has no base_url in the catalogue.")
        try:
            check_url(entry.base_url, self.allowed)
        except InvalidInput as error:
            raise ProviderRefused(f"{entry.id} cannot be reached: {error}") from error
        return entry.base_url.rstrip("/")

    def key(self, entry: Entry) -> Secret | None:
        """ProviderRefused where one is needed and missing."""
        spec = PROVIDERS[entry.provider]
        if spec.key:
            return self.keys.require(spec.key)
        if entry.secret:
            return self.keys.require(entry.secret, check_url(self.url(entry), self.allowed).host)
        return None

    def obstacle(self, entry: Entry) -> str | None:
        spec = PROVIDERS[entry.provider]
        try:
            if spec.key or spec.own_url:
                self.url(entry)
                self.key(entry)
        except MillraceError as error:
            return str(error)
        return None

    def http(self, entry: Entry) -> tuple[httpx2.Client, str]:
        """The client that may go where this entry lies, and the base URL to give it."""
        from .. import egress

        url = self.url(entry)
        if url.startswith(UNIX):
            return egress.http(self._allowed(), url.removeprefix(UNIX)), "http://localhost/v1"
        return egress.http(self._allowed()), url

    def post(self, entry: Entry, path: str, body: Any) -> Any:
        """The reply to a JSON body below this entry's URL, as JSON. Called inside `border.call`, whose deadline holds.

        `border.Refused` for a status of 300 and more; what is no JSON raises what its parser does.
        """
        from . import border

        url = self.url(entry)
        uds = url.removeprefix(UNIX) if url.startswith(UNIX) else ""
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "millrace"}
        secret = self.key(entry)
        if secret is not None:
            headers["authorization"] = f"Bearer {secret.reveal()}"
        place = ("http://localhost/v1" if uds else url) + path
        reply = self._wire.post(self._allowed(), place, orjson.dumps(body), headers, uds)
        if reply.status >= 300:
            raise border.Refused(reply)
        return orjson.loads(reply.content)

    def client(self, kind: str, entry: Entry, build: Callable[[str, str, httpx2.Client], Any]) -> Any:
        """`build(key, base URL, HTTP client)`, once for each of them."""
        secret = self.key(entry)
        http, url = self.http(entry)
        at = (kind, url, secret)
        with self._lock:
            if at not in self._clients:
                if len(self._clients) >= MAX_CLIENTS:
                    self._clients.pop(next(iter(self._clients)))
                self._clients[at] = build(secret.reveal() if secret else "none", url, http)
            return self._clients[at]

    def sdk(self, entry: Entry, name: str, timeout_s: float) -> Any:
        """A module imported when it is first needed; Unavailable when that takes all the time there is."""
        self.key(entry)  # without a key nothing is worth seconds of importing
        if name in self._loaded:
            return import_module(name)
        try:
            module = in_time(lambda: import_module(name), timeout_s)
        except TimeoutError:
            raise Unavailable(f"{name} is still being loaded; it did not come within {timeout_s:.1f} s.") from None
        except ImportError as error:
            raise Unavailable(f"{name} is not installed here.") from error
        self._loaded.add(name)
        return module

    def _allowed(self) -> Allowed:
        """The operator's own URLs may lie on a private address."""
        if self._open is None:
            hosts = {urlsplit(url).netloc.lower() for url in self.urls.values()}
            self._open = Allowed(self.allowed.hosts | hosts, self.allowed.networks) if hosts else self.allowed
        return self._open


@cache
def reach() -> Reach:
    """Of this process, from its environment."""
    return Reach.of(Providers.from_env())


def left_s(deadline: float) -> float:
    return deadline - time.monotonic()
