"""Cursors that a caller cannot make, change or take elsewhere. Pure.

A cursor is signed (HMAC-SHA-256, 128 bits of it) together with what it is bound to: the tenant, the route and the
filters of the list that gave it. It shows where in a list to go on, hides nothing, and is worth nothing anywhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from .errors import InvalidInput

FOREIGN = "That cursor is not one of this list with these filters; begin again without it."
MAX_CURSOR = 2048
_MAC_BYTES = 16


def seal(key: bytes, bound: Sequence[str], cursor: str) -> str:
    """The signed form of a list's own cursor."""
    raw = cursor.encode()
    return base64.urlsafe_b64encode(_mac(key, bound, raw) + raw).decode().rstrip("=")


def unseal(key: bytes, bound: Sequence[str], sealed: str) -> str:
    """The list's own cursor. InvalidInput where it was changed, or given by another list."""
    try:
        told = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(FOREIGN) from error
    mac, raw = told[:_MAC_BYTES], told[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, bound, raw)):
        raise InvalidInput(FOREIGN)
    return raw.decode()


def _mac(key: bytes, bound: Sequence[str], raw: bytes) -> bytes:
    """Each part with its length, so that no two lists of parts read the same."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in (*(text.encode("utf-8", "surrogatepass") for text in bound), raw):
        mac.update(len(part).to_bytes(8, "big") + part)
    return mac.digest()[:_MAC_BYTES]
