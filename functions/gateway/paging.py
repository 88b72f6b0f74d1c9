"""Pages of a list: where to begin, and the signed cursor of the page after.

Every list route takes a `Paged`. Its cursor is bound to the tenant, the path and the filters, which are all other
parameters of the query; `tests/functions/test_paging.py` holds every route that answers with a page to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request
from millrace import aws, cursors

from functions.gateway.caller import Caller
from functions.gateway.shapes import Page, settings

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=cursors.MAX_CURSOR, description="`next` of the page before.")]


@dataclass(frozen=True)
class Paging:
    limit: int
    cursor: str | None
    """As the list itself wrote it."""
    bound: tuple[str, ...]

    def page(self, items: Sequence[T], following: str | None) -> Page[T]:
        """`following`: the list's own cursor of the next page."""
        return Page(items=list(items), next=cursors.seal(_key(), self.bound, following) if following else None)


def paging(request: Request, caller: Caller, limit: Limit = 20, cursor: Cursor = None) -> Paging:
    filters = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in ("limit", "cursor"))
    bound = (caller.id, request.url.path, *(part for pair in filters for part in pair))
    return Paging(limit, cursors.unseal(_key(), bound, cursor) if cursor else None, bound)


Paged = Annotated[Paging, Depends(paging)]


@cache
def _key() -> bytes:
    """Read once per process, when the first cursor is made or met."""
    with aws.mapped("Reading the cursors' key"):
        return aws.secretsmanager().get_secret_value(SecretId=settings.cursor_secret)["SecretString"].encode()
