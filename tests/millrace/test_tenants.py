from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace.errors import InvalidInput
from millrace.tenants import Kind, Tenant, of_drop_key, system_pk

IDS = st.from_regex(r"\A[a-z][a-z0-9-]{2,31}\Z")


@pytest.mark.parametrize("id", ["", "ab", "Acme", "1acme", "a" * 33, "acme#job", "acme/x", "acme\n", "@system", "ácme"])
def test_a_tenant_has_a_plain_name(id: str) -> None:
    with pytest.raises(InvalidInput):
        Tenant(id)


@given(IDS, IDS, st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_no_two_things_share_a_key(one: str, other: str, a: str, b: str) -> None:
    keys = set()
    for tenant, id in {(one, a), (one, b), (other, a), (other, b)}:
        try:
            keys.add((Tenant(tenant).pk(Kind.JOB, id), tenant, id))
        except InvalidInput:
            assert "#" in id

    assert len({key for key, _, _ in keys}) == len(keys)


@given(st.text(max_size=6), st.text(max_size=6))
def test_a_path_never_leaves_its_tenant(first: str, second: str) -> None:
    try:
        key = Tenant("acme").prefix(first, second)
    except InvalidInput:
        assert {"", ".", ".."} & {first, second} or "/" in first + second
    else:
        assert key.startswith("tenants/acme/") and key.count("/") == 3 and ".." not in key.split("/")


@pytest.mark.parametrize("id", ["", "a#b", "x" * 257])
def test_an_id_that_no_key_can_hold_is_refused(id: str) -> None:
    with pytest.raises(InvalidInput, match="An id has 1 to 256"):
        Tenant("acme").pk(Kind.MODEL, id)


def test_what_belongs_to_nobody_can_be_no_tenants() -> None:
    assert system_pk(Kind.ACTIVE_JOB) == "@system#active-job"
    assert not re.fullmatch(r"[a-z].*", system_pk(Kind.CATALOGUE))


@pytest.mark.parametrize(
    "key", ["", "drop/", "drop/acme", "drop//x", "drop/Acme/x", "drop/../x", "x/acme/y", "drop/acme\n/x"]
)
def test_an_object_outside_of_every_drop_folder_is_nobodys(key: str) -> None:
    with pytest.raises(InvalidInput):
        of_drop_key(key)


def test_an_object_in_a_drop_folder_is_that_tenants() -> None:
    assert of_drop_key("drop/acme/2026/a.csv") == Tenant("acme")
    assert of_drop_key(Tenant("acme").drop_prefix + "../../other/x.csv").id == "acme"
