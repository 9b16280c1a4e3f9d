"""From the hash of a session to an instance of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar, cast

from pydantic import ValidationError

from sojourn.codec.checks import is_unicode
from sojourn.codec.compiled import DOUBT, Decoder, ListDecoder, compile_decoder
from sojourn.codec.declared import Declared
from sojourn.codec.layouts import Layouts
from sojourn.codec.texts import UNREADABLE
from sojourn.errors import SecretUnreadable, SessionCorrupt
from sojourn.models import Session
from sojourn.sealing import Keyring, Sealer, Unreadable, unreadable

__all__ = ["Reader"]

S = TypeVar("S", bound=Session)
_OF_SCRIPTS: Final = frozenset({"_indexes", "_logs"})
"""Fields of each hash that only scripts read."""


class Reader(Declared[S]):
    """Decodes the sessions of one model."""

    def __init__(self, model: type[S]) -> None:
        super().__init__(model)
        self._decoders = {
            each.stored_as: (each.name, each.decode if each.secret is None else _as_it_is)
            for each in self.fields.values()
        }
        self._decode_sound: Decoder[S] | None = None
        self.layouts: Layouts[S] | None = None
        """The orders in which its records come, if they can be read by their fields' places."""
        if self._shapes is not None:
            self._decode_sound = compile_decoder(model, self.fields, self._shapes, extra=self._allows_extra)
            if not self._allows_extra:
                names = {each.stored_as for each in self.fields.values()}
                self.layouts = Layouts(self._compile_for, names | _OF_SCRIPTS)

    def _compile_for(self, order: Sequence[str]) -> ListDecoder[S] | None:
        shapes = self._shapes or {}
        if any(each.required and self.fields[name].stored_as not in order for name, each in shapes.items()):
            return None
        decoder: ListDecoder[S] = compile_decoder(self.model, self.fields, shapes, order=order)
        return decoder

    def decode(self, stored: Mapping[str, str], session_id: str, tenant: str, keyring: Keyring | None = None) -> S:
        """A session from its hash. A secret that cannot be opened tells so when its value is asked for.

        Raises:
            SessionCorrupt: a field cannot be read.
        """
        if self._decode_sound is not None:
            try:
                session = self._decode_sound(stored, session_id, tenant, keyring)
            except DOUBT:
                session = None
            if session is not None:
                return session
        return self.decode_carefully(stored, session_id, tenant, keyring)

    def decode_carefully(
        self, stored: Mapping[str, str], session_id: str, tenant: str, keyring: Keyring | None = None
    ) -> S:
        """The same in the way that finds what is wrong: every field decoded, and all of them validated once more.

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
        session: Any = self.blank()
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


def _as_it_is(text: str) -> str:
    return text
