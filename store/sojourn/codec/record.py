"""Between a model's instances and the hashes of their sessions."""

from __future__ import annotations

import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import (
    AliasChoices,
    AliasPath,
    ConfigDict,
    PydanticUserError,
    Secret,
    ValidationError,
    model_validator,
)

from sojourn.codec.checks import (
    FIELD_NAME,
    NOT_AS_IT_IS,
    check_indexed,
    invalid_field,
    is_unicode,
    quoted,
    reason_of,
    refused_by_type,
)
from sojourn.codec.fidelity import same
from sojourn.codec.fields import UNREADABLE, FieldCodec, field_codec
from sojourn.errors import InvalidField, InvalidModel, SecretUnreadable, SessionCorrupt
from sojourn.keys import check_kind
from sojourn.limits import Limits, check_depth
from sojourn.models import LIVE, Log, Session
from sojourn.sealing import Keyring, Sealer, Unreadable, unreadable

__all__ = ["CORE_READ_ONLY", "Changes", "Codec"]

S = TypeVar("S", bound=Session)

_BLANK: Final = (("__pydantic_extra__", None), ("__pydantic_private__", None))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

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
_REFUSED: Final = "is not a value that the model takes for this secret"
_OTHER: Final = (TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes through pydantic besides its own errors, as of values that cannot be hashed or compared."""
_WRITTEN_BY_SCRIPTS: Final = CORE_READ_ONLY | {"status"}
_DECLARED: Final = ("annotation", "metadata", "default", "default_factory")


@dataclass(frozen=True)
class Changes:
    """Field changes, validated and encoded."""

    set: dict[str, str] = dataclass_field(default_factory=dict)
    """Hash fields and their new values."""
    cleared: tuple[str, ...] = ()
    """Hash fields to remove."""
    status: str = ""
    told: str = "{}"
    """The same as a JSON object for the event."""


class Codec(Generic[S]):
    """Validates, encodes and decodes the sessions of one model. Made once per model.

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
        self._by_stored = {each.stored_as: each for each in self.fields.values()}
        if len(self._by_stored) != len(self.fields):
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
        self._allows_extra = model.model_config.get("extra") == "allow"
        self._own = tuple(each for name, each in self.fields.items() if name not in _WRITTEN_BY_SCRIPTS)
        self._validate = model.__pydantic_validator__.validate_python
        self._decoders = {
            each.stored_as: (each.name, each.decode if each.secret is None else _as_it_is)
            for each in self.fields.values()
        }
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

    # Reading

    def decode(self, stored: Mapping[str, str], session_id: str, tenant: str, keyring: Keyring | None = None) -> S:
        """A session from its hash. A secret that cannot be opened tells so when its value is asked for.

        Raises:
            SessionCorrupt: a field cannot be read.
        """
        data: dict[str, Any] = {}
        decoders = self._decoders
        for name, text in stored.items():
            known = decoders.get(name)
            if known is not None:
                field, decode = known
                if decode is str:
                    if not text.isascii() and not is_unicode(text):
                        raise SessionCorrupt(session_id, tenant, name)
                    data[field] = text
                    continue
                try:
                    data[field] = decode(text)
                except UNREADABLE:
                    raise SessionCorrupt(session_id, tenant, name) from None
            elif self._allows_extra and not name.startswith("_"):
                if not text.isascii() and not is_unicode(text):
                    raise SessionCorrupt(session_id, tenant, name)
                data[name] = text
        if self._secrets:
            self._open_secrets(data, Sealer(keyring, tenant, session_id))
        try:
            session = self._decode_whole(data, session_id, tenant)
        except SecretUnreadable:  # a validator has asked for the value
            session = self._decode_past_secrets(data, session_id, tenant)
        if session.id != session_id or session.tenant != tenant:
            raise SessionCorrupt(session_id, tenant, "id" if session.id != session_id else "tenant")
        return session

    def _open_secrets(self, data: dict[str, Any], sealer: Sealer) -> None:
        for each in self._secrets:
            text = data.get(each.name)
            if text is None:
                continue
            try:
                data[each.name] = each.decode(sealer.open(each.stored_as, text))
            except (SecretUnreadable, *UNREADABLE):
                data[each.name] = unreadable(
                    each.secret or type(None), sealer.session_id, sealer.tenant, each.stored_as, text
                )

    def _decode_whole(self, data: dict[str, Any], session_id: str, tenant: str) -> S:
        try:
            session: S = self._validate(data, by_alias=True, by_name=True)
        except ValidationError as error:
            where = error.errors(include_url=False, include_input=False, include_context=False)[0]["loc"]
            if where:
                raise SessionCorrupt(session_id, tenant, self._stored_name(str(where[0]))) from None
            session = self._decode_field_by_field(data, session_id, tenant)
        return session

    def _decode_past_secrets(self, data: dict[str, Any], session_id: str, tenant: str) -> S:
        """A session with secrets that cannot be opened, and must not be asked for: the other fields one by one.

        Each is validated by itself, as an update does it; what a validator of the whole model does is left out.
        """
        session: Any = self._blank()
        values: dict[str, Any] = {}
        for name, info in self.model.model_fields.items():
            if name not in data:
                if info.is_required():
                    raise SessionCorrupt(session_id, tenant, self._stored_name(name))
                values[name] = info.get_default(call_default_factory=True, validated_data=values)
                continue
            values[name] = data[name]
            if not isinstance(data[name], Unreadable):
                object.__setattr__(session, "__dict__", dict(values))
                try:
                    self._assign(session, name, data[name], by_alias=True, by_name=True)
                    values[name] = session.__dict__[name]
                except SecretUnreadable:  # its validator looks at the secret
                    continue
                except ValidationError:
                    raise SessionCorrupt(session_id, tenant, self._stored_name(name)) from None
        object.__setattr__(session, "__dict__", values)
        if self._allows_extra:
            object.__setattr__(session, "__pydantic_extra__", {k: v for k, v in data.items() if k not in values})
        object.__setattr__(session, "__pydantic_fields_set__", {*data})
        with suppress(SecretUnreadable):
            session.model_post_init(None)
        object.__setattr__(session, "__class__", self.model)
        return cast("S", session)

    def _decode_field_by_field(self, data: dict[str, Any], session_id: str, tenant: str) -> S:
        """A session whose fields are valid each, but not together, as a validator of the whole model finds.

        `update` and `increment` cannot see the whole, so such a record is not damaged, and is told as it is.
        """
        try:
            session: Any = self._editable.__pydantic_validator__.validate_python(data, by_alias=True, by_name=True)
        except ValidationError:
            raise SessionCorrupt(session_id, tenant, "record") from None
        object.__setattr__(session, "__class__", self.model)
        return cast("S", session)

    def _stored_name(self, name: str) -> str:
        return self.fields[name].stored_as if name in self.fields else name

    # Writing

    def encode_new(
        self,
        fields: Mapping[str, Any],
        session_id: str,
        tenant: str,
        limits: Limits,
        keyring: Keyring | None = None,
    ) -> tuple[S, dict[str, str]]:
        """A new session as far as the client knows it, and its hash fields but for those that the script writes.

        `status` is among the fields. Values that are stored less exactly than they were given, such as times, are in
        the session as they will be read.

        Raises:
            InvalidField: a field is unknown, read-only, missing, of a wrong type or too large.
            SettingsError: a field is a secret, and there is no keyring.
        """
        for name, value in fields.items():
            self._check_given(name, value, limits)
        data = {
            **fields, "id": session_id, "tenant": tenant, "kind": self.kind,
            "created_at": _EPOCH, "updated_at": _EPOCH, "accessed_at": _EPOCH,
        }  # fmt: skip
        session = self._checked(data)
        if session.status not in LIVE:
            raise InvalidField("status", f"a session cannot begin as '{session.status}'")
        encoded = {"status": session.status.value}
        values = session.__dict__
        sealer = Sealer(keyring, tenant, session_id) if self._secrets else None
        for each in self._own:
            value = values[each.name]
            if value is not None or not each.none_is_absent:
                text = self._encode(each, value, limits)
                if not each.exact:
                    values[each.name] = self._read_back(each, value, text)
                encoded[each.stored_as] = text if each.secret is None else _sealed(sealer, each, text)
        return session, encoded

    def encode_changes(self, changes: Mapping[str, Any], limits: Limits, sealer: Sealer | None = None) -> Changes:
        """Named changes to a session that is not at hand; each field is validated by itself.

        Raises:
            InvalidField: a field is unknown, read-only, of a wrong type or too large.
            SettingsError: a field is a secret, and there is no keyring.
            SecretUnreadable: its new value is one that could not be opened where it comes from.
        """
        draft = self._blank()
        assign = self._assign
        values: dict[str, Any] = {}
        for name, value in changes.items():
            self._check_given(name, value, limits)
            try:
                assign(draft, name, value, by_alias=True, by_name=True)
            except ValidationError as error:
                invalid = self._invalid(name, error)
            except _OTHER as error:
                invalid = refused_by_type(name, error)
            else:
                values[name] = draft.__dict__[name]
                continue
            raise invalid  # here, so that what pydantic says, with the value, does not come along
        return self._encoded_changes(values, limits, sealer)

    def encode_difference(
        self, session: S, changes: Mapping[str, Any], limits: Limits, keyring: Keyring | None = None
    ) -> Changes:
        """Changes to a session at hand: validated together with the rest of it, model validators among them.

        Secrets that stay as they are are not sealed anew. Where one cannot be opened, but a validator asks for it, the
        changes are validated as `encode_changes` does it.

        Raises:
            InvalidField: a field is unknown, read-only, of a wrong type or too large.
            SettingsError: a field is a secret, and there is no keyring.
            SecretUnreadable: its new value is one that could not be opened where it comes from.
        """
        sealer = Sealer(keyring, session.tenant, session.id) if self._secrets else None
        if self._secrets:
            changes = {name: value for name, value in changes.items() if not self._is_as_it_was(session, name, value)}
        for name, value in changes.items():
            self._check_given(name, value, limits)
        whole = {name: getattr(session, name) for name in self.fields} | dict(changes)
        try:
            new = self._checked(whole)
        except SecretUnreadable:
            return self.encode_changes(changes, limits, sealer)
        # A validator of the model may have changed other fields along with these.
        differing = (
            each.name for each in self._own
            if each.name not in changes and getattr(new, each.name) != getattr(session, each.name)
        )  # fmt: skip
        values = {name: getattr(new, name) for name in (*changes, *differing)}
        for name in self._secret_names & values.keys():
            if self._is_as_it_was(session, name, values[name]):
                del values[name]
        return self._encoded_changes(values, limits, sealer)

    def _is_as_it_was(self, session: S, name: str, value: Any) -> bool:
        """Whether a secret's value is the one that the session has."""
        if name not in self._secret_names:
            return False
        held = getattr(session, name)
        if isinstance(held, Unreadable) or isinstance(value, Unreadable) or held is None or value is None:
            return bool(held == value)
        return type(held) is type(value) and same(held.get_secret_value(), value.get_secret_value())

    def _blank(self) -> S:
        """An instance without any field, to validate assignments on; `model_construct` takes ten times as long."""
        draft: S = self._editable.__new__(self._editable)
        for name, value in _BLANK:
            object.__setattr__(draft, name, value)
        object.__setattr__(draft, "__dict__", {})
        object.__setattr__(draft, "__pydantic_fields_set__", set())
        return draft

    def _encoded_changes(self, values: Mapping[str, Any], limits: Limits, sealer: Sealer | None) -> Changes:
        encoded: dict[str, str] = {}
        cleared: list[str] = []
        told: list[str] = []
        status = ""
        for name, value in values.items():
            if name == "status":
                status = str(value)
                told.append(f'"status":"{status}"')
                continue
            each = self.fields[name]
            if value is None and each.none_is_absent:
                cleared.append(each.stored_as)
                told.append(f'"{each.stored_as}":null')
                continue
            text = self._encode(each, value, limits)
            if not each.exact:
                self._read_back(each, value, text)
            if each.secret is not None:
                text = _sealed(sealer, each, text)
            encoded[each.stored_as] = text
            told.append(f'"{each.stored_as}":{text if each.is_json else quoted(text)}')
        return Changes(encoded, tuple(cleared), status, "{" + ",".join(told) + "}")

    def _check_given(self, name: str, value: Any, limits: Limits) -> None:
        if name not in self.fields:
            raise InvalidField(name, f"{self.model.__name__} has no such field")
        if name in CORE_READ_ONLY:
            raise InvalidField(name, "is kept by Sojourn and cannot be set")
        self.check_counted(name)
        inner = value.get_secret_value() if isinstance(value, Secret) else value
        check_depth(name, inner, limits.depth, limits.field_bytes)

    def check_counted(self, name: str) -> None:
        """Refuse a counter that is changed along with something else.

        Raises:
            InvalidField: it is; the message names the call that changes both.
        """
        kept_by = self.fields[name].kept_by
        if kept_by:
            raise InvalidField(name, f"counts what {kept_by} tells, so that call alone changes it")

    def _checked(self, data: Mapping[str, Any]) -> S:
        try:
            session: S = self._validate(data, by_alias=True, by_name=True)
        except ValidationError as error:
            invalid = self._invalid("", error)
        except _OTHER as error:
            invalid = refused_by_type("", error)
        else:
            return session
        raise invalid  # here, so that what pydantic says, with the values, does not come along

    def _invalid(self, name: str, error: ValidationError) -> InvalidField:
        """What pydantic found wrong; of a secret only that something is, for the rest may tell of its value."""
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = str(first["loc"][0]) if first["loc"] else name
        if place in self._secret_places and first["type"] != "missing":
            return InvalidField(place, _REFUSED)
        return invalid_field(name, error)

    def _encode(self, each: FieldCodec, value: Any, limits: Limits) -> str:
        try:
            text = each.encode(value)
        except (ValueError, TypeError, OverflowError) as error:
            problem = reason_of(error) if each.secret is None else _REFUSED
        else:
            problem = ""
        if problem:
            raise InvalidField(each.name, problem)  # here, so that no error that holds the value comes along
        bound = limits.metadata_bytes if each.name == "metadata" else limits.field_bytes
        size = len(text) if text.isascii() else len(text.encode())
        if size > bound and each.secret is not None:
            raise InvalidField(each.name, f"takes more than the {bound} bytes that are allowed")
        if size > bound:
            raise InvalidField(each.name, f"takes {size} bytes; at most {bound} are allowed")
        if each.indexed:
            values = [str.__str__(one) for one in value] if each.many else [text]
            if len(values) > limits.tags:
                raise InvalidField(each.name, f"has {len(values)} values; at most {limits.tags} are allowed")
            for one in values:
                check_indexed(each.name, one, limits)
        return text

    def _read_back(self, each: FieldCodec, value: Any, text: str) -> Any:
        """What a text will be read as: nothing is stored that would be lost, or make the session unreadable."""
        try:
            found = each.decode(text)
            problem = "" if each.agrees is None or each.agrees(value, found) else NOT_AS_IT_IS
        except UNREADABLE:
            problem = "cannot be read back as it would be stored"
        if problem:
            raise InvalidField(each.name, problem)
        return found

    def index_value(self, name: str, value: Any, limits: Limits) -> tuple[str, str]:
        """The index field and the text under which sessions with `value` in field `name` are listed.

        Raises:
            InvalidField: the field is not indexed, or the value cannot be one of its.
        """
        each = self.fields.get(name)
        if each is None or not each.indexed:
            raise InvalidField(name, f"is not an indexed field of {self.model.__name__}")
        text = str.__str__(value) if each.many and isinstance(value, str) else value
        if not each.many:
            draft = self._blank()
            try:
                self._assign(draft, name, value)
                text = each.encode(getattr(draft, name))
            except ValidationError as error:
                raise invalid_field(name, error) from None
            except (ValueError, TypeError, AttributeError) as error:
                raise InvalidField(name, reason_of(error)) from None
        return each.stored_as, check_indexed(name, text, limits)


def _as_it_is(text: str) -> str:
    return text


def _sealed(sealer: Sealer | None, each: FieldCodec, text: str) -> str:
    return (sealer or Sealer(None, "", "")).seal(each.stored_as, text)


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
