"""What is known of a model once it is found that it can be stored."""

from __future__ import annotations

import types
from typing import Any, Final, Generic, TypeVar

from pydantic import AliasChoices, AliasPath, ConfigDict, PydanticUserError, model_validator

from sojourn.codec.checks import FIELD_NAME
from sojourn.codec.fields import field_codec
from sojourn.codec.shapes import shapes_of
from sojourn.errors import InvalidModel
from sojourn.keys import check_kind
from sojourn.models import Log, Session
from sojourn.sealing import Keyring, Sealer

__all__ = ["CORE_READ_ONLY", "Declared"]

S = TypeVar("S", bound=Session)

_BLANK: Final = (("__pydantic_extra__", None), ("__pydantic_private__", None))
CORE_READ_ONLY: Final = frozenset(
    [
        "id",
        "tenant",
        "kind",
        "version",
        "created_at",
        "updated_at",
        "accessed_at",
        "expires_at",
        "ttl",
        "max_lifetime",
        "ended_at",
        "end_reason",
    ]
)
"""Fields that a client never sets through `create`'s or `update`'s fields."""
_WRITTEN_BY_SCRIPTS: Final = CORE_READ_ONLY | {"status"}
_DECLARED: Final = ("annotation", "metadata", "default", "default_factory")


class Declared(Generic[S]):
    """A model's fields, logs and secrets, and pydantic's validators for it.

    Raises:
        InvalidModel: the model cannot be stored as it is declared.
    """

    def __init__(self, model: type[S]) -> None:
        self.model = model
        self.kind = model.kind_name
        try:
            check_kind(self.kind)
        except ValueError as error:
            raise InvalidModel(f"{model.__name__}: {error}") from None
        _complete(model)
        self._refuse_changed_core()
        _refuse_mixed_aliases(model)
        self.fields = {name: field_codec(model, name) for name in model.model_fields}
        if len({each.stored_as for each in self.fields.values()}) != len(self.fields):
            raise InvalidModel(f"{model.__name__}: two fields are stored under one name (one ends in _ms)")
        self.logs = {
            name: value
            for base in reversed(model.__mro__)
            for name, value in vars(base).items()
            if isinstance(value, Log)
        }
        for name in self.logs:
            if not FIELD_NAME.fullmatch(name) or name in self.fields:
                raise InvalidModel(f"{model.__name__}.{name}: not a name for a log")
        for log in self.logs.values():
            _ = log.adapter  # refuses entries that cannot be stored
        self.index_specs = ",".join(
            each.index_spec for each in self.fields.values() if each.indexed and each.name not in CORE_READ_ONLY
        )
        self._own = tuple(each for name, each in self.fields.items() if name not in _WRITTEN_BY_SCRIPTS)
        self._validate = model.__pydantic_validator__.validate_python
        self._allows_extra = model.model_config.get("extra") == "allow"
        self._shapes = shapes_of(model)
        self._secrets = tuple(each for each in self._own if each.secret is not None)
        self._secret_names = {each.name for each in self._secrets}
        self._secret_places = {alias for name in self._secret_names for alias in _names_of(model, name)}
        self._editable = _editable(model)
        self._assign = self._editable.__pydantic_validator__.validate_assignment

    def _refuse_changed_core(self) -> None:
        """Scripts and filters rely on what these fields are, and a store of `Session` writes them for every model."""
        for name, ours in Session.model_fields.items():
            theirs = self.model.model_fields.get(name)
            if theirs is None or any(getattr(theirs, each) != getattr(ours, each) for each in _DECLARED):
                raise InvalidModel(f"{self.model.__name__}.{name}: is Sojourn's own and cannot be declared otherwise")

    def blank(self) -> S:
        """An instance without any field, to validate assignments on; `model_construct` takes ten times as long."""
        draft: S = self._editable.__new__(self._editable)
        for name, value in _BLANK:
            object.__setattr__(draft, name, value)
        object.__setattr__(draft, "__dict__", {})
        object.__setattr__(draft, "__pydantic_fields_set__", set())
        return draft

    def sealer(self, keyring: Keyring | None, tenant: str, session_id: str) -> Sealer | None:
        """What seals and opens a session's secrets; None for a model that has none."""
        return Sealer(keyring, tenant, session_id) if self._secrets else None


def _names_of(model: type[Session], name: str) -> set[str]:
    """A field's name and its aliases, as pydantic's errors name it."""
    alias = model.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return {name, *(str(each.path[0]) if isinstance(each, AliasPath) else str(each) for each in choices if each)}


def _complete(model: type[Session]) -> None:
    """Resolve the names in a model's annotations that were not known when it was declared."""
    if model.__pydantic_complete__:
        return
    try:
        model.model_rebuild()
    except (PydanticUserError, NameError) as error:
        raise InvalidModel(f"{model.__name__}: {str(error).splitlines()[0]}") from error


def _refuse_mixed_aliases(model: type[Session]) -> None:
    """Fields are known by their names, but those of nested models may be by aliases: validators take both."""
    for name, info in model.model_fields.items():
        given = info.validation_alias
        for alias in given.choices if isinstance(given, AliasChoices) else [given]:
            first = alias.path[0] if isinstance(alias, AliasPath) else alias
            if first != name and first in model.model_fields:
                raise InvalidModel(f"{model.__name__}.{name}: its alias is the name of another field")


def _editable(model: type[S]) -> type[S]:
    """A mutable twin of a model, on which single fields can be validated by assignment.

    Validators of the whole model are passed over in it: the rest of the record is not there to be seen.
    """
    decorators = model.__pydantic_decorators__
    overrides: dict[str, Any] = {
        name: model_validator(mode="after")(lambda self: self) for name in decorators.model_validators
    }
    namespace = {
        "__module__": model.__module__,
        "__qualname__": f"{model.__qualname__}.Editable",
        "model_config": ConfigDict(frozen=False, validate_assignment=True),
        **overrides,
    }
    return types.new_class(model.__name__, (model,), {"kind": model.kind_name}, lambda body: body.update(namespace))
