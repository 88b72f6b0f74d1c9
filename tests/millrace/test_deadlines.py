from __future__ import annotations

import threading

import pytest
from millrace.deadlines import in_time


def test_work_that_ends_in_time_gives_its_value_or_its_error() -> None:
    assert in_time(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 5)
    with pytest.raises(TimeoutError):
        in_time(lambda: threading.Event().wait(3), 0.05)
