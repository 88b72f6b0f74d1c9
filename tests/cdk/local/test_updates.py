"""A stack that changes keeps what its tables hold."""

from __future__ import annotations

import json
from typing import Any

from .conftest import Aws


def _template(**more: Any) -> str:
    keys = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
    keys["AttributeDefinitions"] = [{"AttributeName": "pk", "AttributeType": "S"}]
    table = {
        "Type": "AWS::DynamoDB::GlobalTable",
        "Properties": {**keys, "Replicas": [{"Region": "us-east-1"}], **more},
    }
    return json.dumps({"Resources": {"Table": table}, "Outputs": {"Name": {"Value": {"Ref": "Table"}}}})


def test_a_table_that_gets_a_stream_keeps_its_name_and_its_items(aws: Aws) -> None:
    stacks, items = aws.cloudformation, aws.dynamodb
    stacks.create_stack(StackName="grown", TemplateBody=_template())
    name = stacks.describe_stacks(StackName="grown")["Stacks"][0]["Outputs"][0]["OutputValue"]
    items.put_item(TableName=name, Item={"pk": {"S": "kept"}})

    stream = {"StreamSpecification": {"StreamViewType": "NEW_IMAGE"}}
    stacks.update_stack(StackName="grown", TemplateBody=_template(**stream))

    after = stacks.describe_stacks(StackName="grown")["Stacks"][0]
    assert (after["StackStatus"], after["Outputs"][0]["OutputValue"]) == ("UPDATE_COMPLETE", name)
    assert items.get_item(TableName=name, Key={"pk": {"S": "kept"}})["Item"] == {"pk": {"S": "kept"}}
    assert items.describe_table(TableName=name)["Table"]["StreamSpecification"]["StreamEnabled"]
