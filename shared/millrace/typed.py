"""Items as DynamoDB writes them, and as Python has them. Pure."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

_EXACT = 10**38
"""DynamoDB's numbers have 38 digits; boto3 says so of a longer one."""
_SMALLEST, _LARGEST = 1e-128, 1e125  # magnitudes that a DynamoDB number holds, with a margin


def encode(item: Mapping[str, Any]) -> dict[str, Any]:
    """Python to DynamoDB's typed JSON. Floats become numbers by their shortest text; None is left out.

    So is what DynamoDB has no number for: NaN, infinities and 1e126; what is too small for it is 0.
    """
    return {k: typed for k, v in item.items() if (typed := {"S": v} if type(v) is str else _typed(v)) is not None}


def decode(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _plain(v) for k, v in raw.items()}


def _typed(value: Any) -> dict[str, Any] | None:
    """One value in DynamoDB's types, None where it is left out. What is common is written here, ten times as fast as by
    boto3, which writes the rest."""
    kind = type(value)
    if kind is str:
        return {"S": value}
    if value is None:
        return None
    if kind is bool:
        return {"BOOL": value}
    if kind is int and -_EXACT < value < _EXACT:
        return {"N": str(value)}
    if kind is float:
        return _number(value)
    if kind is dict:
        return {"M": encode(value)}
    if kind is list or kind is tuple:
        return {"L": [_typed(v) or {"NULL": True} for v in value]}
    if isinstance(value, str):  # a member of an enum
        return {"S": str(value)}
    if isinstance(value, Mapping):
        return {"M": encode(value)}
    if isinstance(value, bytes | bytearray):
        return {"B": bytes(value)}
    from boto3.dynamodb.types import TypeSerializer

    return cast("dict[str, Any]", TypeSerializer().serialize(value))


def _number(value: float) -> dict[str, Any] | None:
    text = repr(value)
    if value and "e" not in text and "n" not in text:  # as most are: not nan, not inf, between 0.0001 and 1e16
        return {"N": text}
    if not math.isfinite(value) or abs(value) > _LARGEST:
        return None
    return {"N": str(Decimal(text))} if abs(value) > _SMALLEST else {"N": "0.0"}


def _plain(typed: Any) -> Any:
    """One typed value. What is common is read here, twice as fast as by boto3, which reads the rest."""
    ((kind, value),) = typed.items()
    if kind in ("S", "BOOL"):
        return value
    if kind == "N":
        return int(value) if value.isdecimal() else _from_decimal(Decimal(value))
    if kind == "M":
        return {k: _plain(v) for k, v in value.items()}
    if kind == "L":
        return [_plain(v) for v in value]
    if kind == "B":  # as text, where it comes as AWS sends it
        return base64.b64decode(value) if isinstance(value, str) else bytes(value)
    if kind == "NULL":
        return None
    from boto3.dynamodb.types import TypeDeserializer

    return _from_decimal(TypeDeserializer().deserialize(typed))


def _from_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {k: _from_decimal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_from_decimal(v) for v in value]
    return value
