"""CloudFormation resources whose properties ministack forgets, or that it would make anew when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Handler = Callable[..., tuple[str, dict[str, Any]]]


def install() -> None:
    from ministack.services import dynamodb
    from ministack.services.cloudformation import provisioners

    table = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::GlobalTable"]

    def expire(name: str, properties: dict[str, Any]) -> None:
        """Only a change is sent: DynamoDB refuses to switch on what is on."""
        wanted = properties.get("TimeToLiveSpecification") or {"Enabled": False}
        settings = dynamodb._ttl_settings.get(name) or {}
        if bool(wanted.get("Enabled")) != (settings.get("TimeToLiveStatus") == "ENABLED"):
            dynamodb._update_ttl({"TableName": name, "TimeToLiveSpecification": wanted})

    def after(handler: Handler, properties_at: int) -> Handler:
        def handle(*args: Any) -> tuple[str, dict[str, Any]]:
            name, attributes = handler(*args)
            expire(name, args[properties_at])
            return name, attributes

        return handle

    def in_place(handler: Handler) -> Handler:
        """Under the name that it has: ministack derives another for an update, and an empty table took its place."""

        def handle(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
            return handler(name, {"TableName": name, **old}, {"TableName": name, **new}, stack)

        return handle

    table["create"] = after(table["create"], 1)
    table["update"] = after(in_place(table["update"]), 2)
