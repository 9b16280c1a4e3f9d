"""From fields and changes to the hash of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

from pydantic import Secret, ValidationError
from pydantic_core import SchemaError

from sojourn.codec.checks import NOT_AS_IT_IS, check_indexed, invalid_field, quoted, reason_of, refused_by_type
from sojourn.codec.declared import CORE_READ_ONLY, Declared
from sojourn.codec.fidelity import same
from sojourn.codec.fields import FieldCodec
from sojourn.codec.texts import UNREADABLE, plain_text
from sojourn.errors import InvalidField, SecretUnreadable
from sojourn.limits import Limits, check_depth
from sojourn.models import LIVE, Session, Status
from sojourn.sealing import Keyring, Sealer, Unreadable

__all__ = ["Changes", "Writer"]

S = TypeVar("S", bound=Session)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSED: Final = "is not a value that the model takes for this secret"
_OTHER: Final = (TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes through pydantic besides its own errors, as of values that cannot be hashed or compared."""
_FLAT: Final = frozenset({str, int, float, bool, type(None)})
"""Types of values with nothing in them."""


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


class Writer(Declared[S]):
    """Validates and encodes the sessions of one model."""

    def __init__(self, model: type[S]) -> None:
        super().__init__(model)
        self._settable = {name for name, each in self.fields.items() if name not in CORE_READ_ONLY and not each.kept_by}
        self._written = tuple(
            (each.name, each.stored_as, None if each.encode is plain_text and not each.indexed else each)
            for each in self._own
        )
        """What a new record has; without its codec where that is plain text."""
        self._validators = {
            name: shape.validate
            for name, shape in (self._shapes or {}).items()
            if not model.model_fields[name].frozen and name not in self._secret_names
        }
        """Those of fields that can be validated without the others, in a third of the time."""

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
        if session.status is not Status.PENDING and session.status not in LIVE:
            raise InvalidField("status", f"a session cannot begin as '{session.status}'")
        encoded = {"status": session.status.value}
        values = session.__dict__
        sealer = Sealer(keyring, tenant, session_id) if self._secrets else None
        for name, stored_as, each in self._written:
            value = values[name]
            if each is None:
                # Plain text, as most fields are: looked at in as few steps as there can be.
                if type(value) is str and value.isascii() and len(value) <= limits.field_bytes and "\x00" not in value:
                    encoded[stored_as] = value
                    continue
                each = self.fields[name]
            if value is not None or not each.none_is_absent:
                text = self._encode(each, value, limits)
                if not each.exact:
                    values[each.name] = self._read_back(each, value, text)
                encoded[stored_as] = text if each.secret is None else _sealed(sealer, each, text)
        return session, encoded

    def encode_changes(self, changes: Mapping[str, Any], limits: Limits, sealer: Sealer | None = None) -> Changes:
        """Named changes to a session that is not at hand; each field is validated by itself.

        Raises:
            InvalidField: a field is unknown, read-only, of a wrong type or too large.
            SettingsError: a field is a secret, and there is no keyring.
            SecretUnreadable: its new value is one that could not be opened where it comes from.
        """
        draft: S | None = None
        values: dict[str, Any] = {}
        for name, value in changes.items():
            self._check_given(name, value, limits)
            alone = self._validators.get(name)
            if alone is not None:
                try:
                    values[name] = alone(value, by_alias=True, by_name=True)
                    continue
                except (ValidationError, SchemaError, *_OTHER):
                    pass  # told below, with its place; or its validator asks for the default
            draft = draft or self.blank()
            values[name] = self._assigned(draft, name, value)
        return self._encoded_changes(values, limits, sealer)

    def _assigned(self, draft: S, name: str, value: Any) -> Any:
        """A value as it is once it is assigned to its field."""
        try:
            self._assign(draft, name, value, by_alias=True, by_name=True)
        except ValidationError as error:
            invalid = self._invalid(name, error)
        except _OTHER as error:
            invalid = refused_by_type(name, error)
        else:
            return draft.__dict__[name]
        raise invalid  # here, so that what pydantic says, with the value, does not come along

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
        held = session.__dict__
        whole = {name: held[name] for name in self.fields} | dict(changes)
        try:
            new = self._checked(whole)
        except SecretUnreadable:
            return self.encode_changes(changes, limits, sealer)
        # A validator of the model may have changed other fields along with these.
        made = new.__dict__
        differing = (each.name for each in self._own if each.name not in changes and made[each.name] != held[each.name])
        values = {name: made[name] for name in (*changes, *differing)}
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
        if name not in self._settable:
            self._refuse(name)
        if type(value) not in _FLAT:
            inner = value.get_secret_value() if isinstance(value, Secret) else value
            check_depth(name, inner, limits.depth, limits.field_bytes)

    def _refuse(self, name: str) -> NoReturn:
        if name not in self.fields:
            raise InvalidField(name, f"{self.model.__name__} has no such field")
        if name in CORE_READ_ONLY:
            raise InvalidField(name, "is kept by Sojourn and cannot be set")
        self.check_counted(name)
        raise AssertionError("unreachable")

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
            if not each.many:
                check_indexed(each.name, text, limits)
                return text
            if len(value) > limits.tags:
                raise InvalidField(each.name, f"has {len(value)} values; at most {limits.tags} are allowed")
            for one in value:
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
            draft = self.blank()
            try:
                self._assign(draft, name, value)
                text = each.encode(getattr(draft, name))
            except ValidationError as error:
                raise invalid_field(name, error) from None
            except (ValueError, TypeError, AttributeError) as error:
                raise InvalidField(name, reason_of(error)) from None
        return each.stored_as, check_indexed(name, text, limits)


def _sealed(sealer: Sealer | None, each: FieldCodec, text: str) -> str:
    return (sealer or Sealer(None, "", "")).seal(each.stored_as, text)
