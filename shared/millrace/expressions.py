"""A write's condition and its update, in DynamoDB's words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .typed import encode

if TYPE_CHECKING:
    from .table import Write


def condition(write: Write) -> dict[str, Any]:
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
    if not parts:
        return {}
    condition: dict[str, Any] = {"ConditionExpression": " AND ".join(parts)}
    if names:
        condition["ExpressionAttributeNames"] = names
    if values:
        condition["ExpressionAttributeValues"] = encode(values)
    return condition


def update_arguments(write: Write, op: str) -> dict[str, Any]:
    arguments = condition(write)
    names: dict[str, str] = dict(arguments.get("ExpressionAttributeNames", {}))
    values: dict[str, Any] = dict(arguments.get("ExpressionAttributeValues", {}))
    sets, removes, adds = [], [], []
    for number, (name, value) in enumerate({**write.values, "op": op}.items()):
        names[f"#s{number}"] = name
        if value is None:
            removes.append(f"#s{number}")
            continue
        values |= encode({f":s{number}": value})
        sets.append(f"#s{number} = :s{number}")
    for number, (name, amount) in enumerate(write.add.items()):
        names[f"#a{number}"] = name
        values |= encode({f":a{number}": amount})
        adds.append(f"#a{number} :a{number}")
    clauses = [("SET", sets), ("REMOVE", removes), ("ADD", adds)]
    return arguments | {
        "Key": encode({"pk": write.pk, "sk": write.sk}),
        "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
