"""Hyperparameters of a container as one pydantic model, whose schema strategy.json shows."""

from __future__ import annotations

from typing import Any, Self

from millrace.errors import InvalidInput
from pydantic import BaseModel, ConfigDict, ValidationError


class Told(BaseModel):
    """What a job may be told. Unknown names are another strategy's, or the contract's own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, hyperparameters: dict[str, Any]) -> Self:
        """The user's values over the defaults. InvalidInput names the first that does not fit."""
        try:
            return cls.model_validate(hyperparameters)
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error

    @classmethod
    def schema_properties(cls) -> dict[str, Any]:
        """The properties of the JSON schema, titles left out."""
        made = cls.model_json_schema()["properties"]
        return {name: {key: value for key, value in field.items() if key != "title"} for name, field in made.items()}
