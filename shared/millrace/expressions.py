"""A write's condition and its update, in DynamoDB's words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .typed import encode

if TYPE_CHECKING:
    from .table import Write


Named = tuple[str, dict[str, str], dict[str, Any]]
"""An expression, its names and its values, which are Python's."""


def condition(write: Write) -> dict[str, Any]:
    return _arguments("ConditionExpression", _conditions(write))


def _conditions(write: Write) -> Named:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    parts = ["attribute_not_exists(pk)"] if write.new else []
    for number, (name, value) in enumerate(write.expect.items()):
        names[f"#e{number}"] = name
        if value is None:
            parts.append(f"attribute_not_exists(#e{number})")
        elif isinstance(value, (list, tuple)):
            keys = [f":e{number}_{i}" for i in range(len(value))]
            values |= dict(zip(keys, value, strict=True))
            parts.append(f"#e{number} IN ({', '.join(keys)})")
        else:
            values[f":e{number}"] = value
            parts.append(f"#e{number} = :e{number}")
    for number, (name, most) in enumerate(write.at_most.items()):
        names[f"#m{number}"] = name
        values[f":m{number}"] = most
        parts.append(f"(attribute_not_exists(#m{number}) OR #m{number} <= :m{number})")
    return " AND ".join(parts), names, values


def _arguments(kind: str, named: Named) -> dict[str, Any]:
    """As arguments of a call; none of what is empty."""
    expression, names, values = named
    told = (kind, expression), ("ExpressionAttributeNames", names), ("ExpressionAttributeValues", encode(values))
    return {name: value for name, value in told if value}


def update_arguments(write: Write, op: str) -> dict[str, Any]:
    held, names, values = _conditions(write)
    sets, removes, adds = [], [], []
    for number, (name, value) in enumerate({**write.values, "op": op}.items()):
        names[f"#s{number}"] = name
        if value is None:
            removes.append(f"#s{number}")
        else:
            values[f":s{number}"] = value
            sets.append(f"#s{number} = :s{number}")
    for number, (name, amount) in enumerate(write.add.items()):
        names[f"#a{number}"] = name
        values[f":a{number}"] = amount
        adds.append(f"#a{number} :a{number}")
    clauses = [("SET", sets), ("REMOVE", removes), ("ADD", adds)]
    update = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts)
    key = {"Key": encode({"pk": write.pk, "sk": write.sk}), "UpdateExpression": update}
    return key | _arguments("ConditionExpression", (held, names, values))
