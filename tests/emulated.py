"""What moto lacks of DynamoDB: one write at a time, and batches of INSERTs that respect what stands."""

from __future__ import annotations

from typing import Any


def lock_moto() -> None:
    import threading

    from moto.dynamodb.responses import DynamoHandler

    inner = DynamoHandler.call_action
    if getattr(inner, "locked", False):
        return
    lock = threading.RLock()

    def call_action(self: Any) -> Any:
        with lock:
            return inner(self)

    call_action.locked = True  # type: ignore[attr-defined]
    DynamoHandler.call_action = call_action  # type: ignore[method-assign]
    _refuse_taken_keys(DynamoHandler)


def _refuse_taken_keys(handler: Any) -> None:
    """An INSERT of moto's PartiQL replaces what stands, where DynamoDB refuses it; and it reads the whole table."""
    import re

    from moto.core.responses import ActionResult

    def inserted(self: Any, statement: Any) -> Any:
        table = statement["Statement"].split('"')[1]
        item = dict(zip(re.findall(r"'(\w+)': \?", statement["Statement"]), statement["Parameters"], strict=True))
        key = {name: item[name] for name in ("pk", "sk")}
        if self.dynamodb_backend.get_item(table, key) is not None:
            return {"TableName": table, "Error": {"Code": "DuplicateItem", "Message": "the key is taken"}}
        self.dynamodb_backend.put_item(table, item)
        return {"TableName": table}

    def batch_execute_statement(self: Any) -> Any:
        return ActionResult({"Responses": [inserted(self, statement) for statement in self.body["Statements"]]})

    handler.batch_execute_statement = batch_execute_statement
