"""What others may want to know, told on EventBridge as CloudEvents. AWS: EventBridge.

An event may be told twice; its id is the same then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from . import aws
from .clock import stamp
from .contract import EVENT_SOURCE, EventType
from .errors import Unavailable
from .tenants import Tenant

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient


@dataclass(frozen=True)
class Events:
    client: EventBridgeClient

    def tell(self, tenant: Tenant, type: EventType, id: str, subject: str, data: dict[str, Any]) -> None:
        detail = {
            "specversion": "1.0",
            "id": id,
            "source": EVENT_SOURCE,
            "type": str(type),
            "subject": subject,
            "time": stamp(),
            "tenant": tenant.id,
            "datacontenttype": "application/json",
            "data": data,
        }
        with aws.mapped(f"Telling {type}"):
            entry: Any = {"Source": EVENT_SOURCE, "DetailType": str(type), "Detail": orjson.dumps(detail).decode()}
            answer = self.client.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable(f"Telling {type} failed with {answer['Entries'][0].get('ErrorCode')}.")
