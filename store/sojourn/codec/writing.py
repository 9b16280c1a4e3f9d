"""From fields and changes to the hash of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

from pydantic import ValidationError

from sojourn.codec.checks import check_indexed, invalid_field, quoted, reason_of, refused_by_type
from sojourn.codec.compiled import DOUBT
from sojourn.codec.declared import CORE_READ_ONLY, Declared
from sojourn.codec.encoder import Encoder, compile_encoder, compile_field_encoder
from sojourn.codec.encoding import REFUSED, check_nesting, encode_value, read_back
from sojourn.codec.fidelity import same
from sojourn.codec.fields import FieldCodec
from sojourn.errors import InvalidField, SecretUnreadable, SojournError
from sojourn.limits import Limits
from sojourn.models import LIVE, Session, Status
from sojourn.sealing import Keyring, Sealer, Unreadable, settled

__all__ = ["Changes", "Writer"]

S = TypeVar("S", bound=Session)

_TOLD_BY_US: Final = ("id", "tenant", "kind", "created_at", "updated_at", "accessed_at")
"""Quick encoders take them as they are, unless the model has validators for them."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DOUBT: Final = (SojournError, *DOUBT)
"""Not every error: what a signal raises, such as the end of a job's time, comes only once."""
_OTHER: Final = (TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes through pydantic besides its own errors, as of values that cannot be hashed or compared."""


@dataclass(slots=True)  # not frozen, which would make it three times as dear to make; nobody else adds to one
class Changes:
    """Field changes, validated and encoded."""

    set: dict[str, str] = dataclass_field(default_factory=dict)
    """Hash fields and their new values."""
    cleared: list[str] = dataclass_field(default_factory=list)
    """Hash fields to remove."""
    status: str = ""
    _told: list[str] = dataclass_field(default_factory=list)

    @property
    def told(self) -> str:
        """The same as a JSON object for the event."""
        return "{" + ",".join(self._told) + "}"

    def add(self, each: FieldCodec, text: str | None) -> None:
        """A field's new text; None removes it."""
        if text is None:
            self.cleared.append(each.stored_as)
            self._told.append(f'"{each.stored_as}":null')
            return
        self.set[each.stored_as] = text
        self._told.append(f'"{each.stored_as}":{text if each.is_json else quoted(text)}')

    def add_status(self, status: Status) -> None:
        """The new status."""
        self.status = str(status)
        self._told.append(f'"status":"{self.status}"')


class Writer(Declared[S]):
    """Validates and encodes the sessions of one model."""

    def __init__(self, model: type[S]) -> None:
        super().__init__(model)
        self._settable = {name for name, each in self.fields.items() if name not in CORE_READ_ONLY and not each.kept_by}
        shapes = self._shapes or {}
        self._encode_sound: Encoder[S] | None = None
        own = {each.name: each for each in self._own}
        if shapes and all(shapes[name].kind for name in _TOLD_BY_US) and not any(shapes[n].runs_code for n in own):
            self._encode_sound = compile_encoder(model, own, shapes, extra=self._allows_extra)
        self._encoders = {
            each.name: (each, compile_field_encoder(each, shapes[each.name]))
            for each in self._own
            if shapes
            and each.name in self._settable
            and each.secret is None
            and not shapes[each.name].runs_code
            and not model.model_fields[each.name].frozen
        }
        """Of fields that can be changed without a look at the others."""

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
        sealer = self.sealer(keyring, tenant, session_id)
        known = {
            "id": session_id, "tenant": tenant, "kind": self.kind,
            "created_at": _EPOCH, "updated_at": _EPOCH, "accessed_at": _EPOCH,
        }  # fmt: skip
        made = None
        if self._encode_sound is not None and type(fields) is dict and self._settable.issuperset(fields):
            try:
                status = self._validated_status(fields["status"]) if "status" in fields else Status.PENDING
                if status in LIVE:
                    made = self._encode_sound(fields, known, status, limits, sealer)
            except _DOUBT:  # whatever it is, the careful way tells it
                made = None
        return made or self._new_carefully(fields, known, limits, sealer)

    def _new_carefully(
        self, fields: Mapping[str, Any], known: dict[str, Any], limits: Limits, sealer: Sealer | None
    ) -> tuple[S, dict[str, str]]:
        for name, value in fields.items():
            self._check_given(name, value, limits)
        session = self._checked({**fields, **known})
        status = Status(session.status)  # a model may have it as plain text
        if status not in LIVE:
            raise InvalidField("status", f"a session cannot begin as '{status}'")
        encoded = {"status": status.value}
        values = session.__dict__
        for each in self._own:
            value = values[each.name]
            if value is not None or not each.none_is_absent:
                text = encode_value(each, value, limits)
                if not each.exact:
                    values[each.name] = read_back(each, value, text)
                encoded[each.stored_as] = text if each.secret is None else _sealed(sealer, each, text)
        return session, encoded

    def encode_changes(self, changes: Mapping[str, Any], limits: Limits, sealer: Sealer | None = None) -> Changes:
        """Named changes to a session that is not at hand; each field is validated by itself.

        Raises:
            InvalidField: a field is unknown, read-only, of a wrong type or too large.
            SettingsError: a field is a secret, and there is no keyring.
            SecretUnreadable: its new value is one that could not be opened where it comes from.
        """
        try:
            found = self._changes_quickly(changes, limits)
        except _DOUBT:  # whatever it is, the careful way tells it
            found = None
        return found or self._changes_carefully(changes, limits, sealer)

    def _changes_quickly(self, changes: Mapping[str, Any], limits: Limits) -> Changes:
        """The same, field by field. One of `_DOUBT`: it is in doubt."""
        found, encoders = Changes(), self._encoders
        for name, value in changes.items():
            if name == "status":
                found.add_status(self._validated_status(value))
            else:
                each, encode = encoders[name]
                found.add(each, encode(value, limits))
        return found

    def _validated_status(self, status: Any) -> Any:
        return (self._shapes or {})["status"].validate(status, by_alias=True, by_name=True)

    def _changes_carefully(self, changes: Mapping[str, Any], limits: Limits, sealer: Sealer | None) -> Changes:
        draft: S | None = None
        values: dict[str, Any] = {}
        for name, value in changes.items():
            self._check_given(name, value, limits)
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
        sealer = self.sealer(keyring, session.tenant, session.id)
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
        if held is value:
            return True
        held, value = settled(held), settled(value)
        if isinstance(held, Unreadable) or isinstance(value, Unreadable) or held is None or value is None:
            return bool(held == value)
        return type(held) is type(value) and same(held.get_secret_value(), value.get_secret_value())

    def _encoded_changes(self, values: Mapping[str, Any], limits: Limits, sealer: Sealer | None) -> Changes:
        found = Changes()
        for name, value in values.items():
            if name == "status":
                found.add_status(value)
                continue
            each = self.fields[name]
            if value is None and each.none_is_absent:
                found.add(each, None)
                continue
            text = encode_value(each, value, limits)
            if not each.exact:
                read_back(each, value, text)
            found.add(each, text if each.secret is None else _sealed(sealer, each, text))
        return found

    def _check_given(self, name: str, value: Any, limits: Limits) -> None:
        if name not in self._settable:
            self._refuse(name)
        check_nesting(name, value, limits)

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
            return InvalidField(place, REFUSED)
        return invalid_field(name, error)

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
