"""JSON filter patterns of CloudWatch Logs: `{ ($.type = "progress") || ($.step >= 3 && $.loss != 0) }`. Pure.

Selectors `$.a.b[0]`, operators = != < <= > >=, `*` as a wildcard in text, IS NULL, NOT EXISTS, && || and parentheses.
Source: CloudWatch Logs user guide, filter and pattern syntax.
"""

from __future__ import annotations

import fnmatch
import json
import operator
import re
from collections.abc import Callable
from typing import Any

TOKEN = re.compile(r'\s*(\(|\)|&&|\|\||>=|<=|!=|=|<|>|"(?:[^"\\]|\\.)*"|\$[^\s=<>!()&|]*|[^\s=<>!()&|]+)')
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_MISSING = object()


def matches(pattern: str, message: str) -> bool:
    """Whether a log line is chosen by a pattern in braces; a line that is not a JSON object never is."""
    try:
        line = json.loads(message)
    except json.JSONDecodeError:
        return False
    if not isinstance(line, dict):
        return False
    tokens = TOKEN.findall(pattern.strip()[1:-1])
    found, rest = _either(tokens, line)
    if rest:
        raise ValueError(f"Not a filter pattern: {pattern!r}")
    return found


def _either(tokens: list[str], line: Any) -> tuple[bool, list[str]]:
    found, rest = _both(tokens, line)
    while rest[:1] == ["||"]:
        other, rest = _both(rest[1:], line)
        found = found or other
    return found, rest


def _both(tokens: list[str], line: Any) -> tuple[bool, list[str]]:
    found, rest = _one(tokens, line)
    while rest[:1] == ["&&"]:
        other, rest = _one(rest[1:], line)
        found = found and other
    return found, rest


def _one(tokens: list[str], line: Any) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        found, rest = _either(tokens[1:], line)
        return found, rest[1:]
    value = _select(tokens[0], line)
    words = [token.upper() for token in tokens[1:3]]
    if words == ["IS", "NULL"]:
        return value is None, tokens[3:]
    if words == ["NOT", "EXISTS"]:
        return value is _MISSING, tokens[3:]
    return _compare(value, tokens[1], tokens[2]), tokens[3:]


def _select(path: str, line: Any) -> Any:
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path):
        try:
            line = line[name] if name else line[int(index)]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return line


def _compare(value: Any, sign: str, wanted: str) -> bool:
    if value is _MISSING or value is None:
        return False
    if sign in ORDER:
        return isinstance(value, int | float) and ORDER[sign](value, float(wanted))
    text = json.loads(wanted) if wanted.startswith('"') else wanted
    if isinstance(value, int | float) and not isinstance(value, bool) and not wanted.startswith('"'):
        same = value == float(text)
    else:
        shown = value if isinstance(value, str) else json.dumps(value)
        same = fnmatch.fnmatchcase(shown, text.replace("[", "[[]").replace("?", "[?]"))
    return same == (sign == "=")
