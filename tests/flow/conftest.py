"""One twin for the loop's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cdk.local.__main__ import down, up
from tests.flow.turning import Turning, a_twin


@pytest.fixture(scope="session")
def turning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turning]:
    twin = a_twin(tmp_path_factory.mktemp("flow") / "home")
    yield Turning(twin, up(twin))
    down(twin)
