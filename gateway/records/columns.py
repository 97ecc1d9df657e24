"""Column types that mean the same on SQLite and PostgreSQL; ``normal`` brings a value into its stored form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Dialect, Numeric, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from gateway.records.canonical import canonical, plain, plain_decimal


class DecimalExact(TypeDecorator[Decimal]):
    """A decimal with all its digits: text in SQLite (which would make it a float), NUMERIC in PostgreSQL."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(asdecimal=True))
        return dialect.type_descriptor(String())

    @staticmethod
    def normal(value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise TypeError(f"{value!r} is not a Decimal")
        return plain_decimal(Decimal(value))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        number = self.normal(value)
        return number if dialect.name == "postgresql" else str(number)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        return None if value is None else Decimal(value)


class EnumText(TypeDecorator[StrEnum]):
    """A choice, stored as its word; an unknown word is a ValueError on the way in."""

    impl = String
    cache_ok = True

    def __init__(self, choice: type[StrEnum]) -> None:
        super().__init__()
        self.choice = choice

    def normal(self, value: Any) -> StrEnum:
        return self.choice(value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else self.choice(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.choice(value)


class JsonText(TypeDecorator[Any]):
    """Plain JSON as canonical text; ``make`` builds the value of the model from it (tuple, a dataclass, ...)."""

    impl = Text
    cache_ok = True

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def normal(self, value: Any) -> Any:
        return self.make(plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else plain(value))

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else canonical(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else self.make(json.loads(value))
