"""A route that is asked often: pydantic reads its body from its bytes, which saves 0.05 of the gateway's 0.13 ms.

For coroutines that take one model, those who call and the request, and give a Response; described as any route is.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from functions.gateway.once import Handler, Once


class Quick(Once):
    def direct(self) -> Handler:
        dependant, endpoint = self.dependant, self.endpoint
        (body,) = dependant.body_params
        model: type[BaseModel] = body.field_info.annotation  # type: ignore[assignment]
        needs = [(str(needed.name), needed.call) for needed in dependant.dependencies]
        http = str(dependant.request_param_name)

        async def handle(request: Request) -> Response:
            given = {name: await call(request) for name, call in needs}  # type: ignore[misc]
            answer: Response = await endpoint(**given, **{http: request, body.name: _read(model, await request.body())})
            return answer

        return handle


def _read(model: type[BaseModel], body: bytes) -> BaseModel:
    """RequestValidationError, as FastAPI's, for what is none."""
    if not body:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    try:
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            if (given := _lenient(error, body)) is None:
                raise
            return model.model_validate(given)
    except ValidationError as error:
        faults = [fault | {"loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None


def _lenient(error: ValidationError, body: bytes) -> Any:
    """What Python's reader takes and pydantic's does not: half of a surrogate pair, of which the use-case speaks."""
    if error.errors(include_url=False)[0]["type"] != "json_invalid":
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
