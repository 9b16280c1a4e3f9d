"""The models that a store or a worker knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from sojourn.codec.checks import FIELD_NAME
from sojourn.codec.record import Codec
from sojourn.errors import InvalidModel
from sojourn.models import Session, Status, UnknownSession

__all__ = ["Models", "codec_for"]

S = TypeVar("S", bound=Session)


class Models:
    """The models that a store or worker knows, by kind.

    Raises:
        InvalidModel: two different models have the same kind, or one cannot be stored.
    """

    def __init__(self, models: Iterable[type[Session]]) -> None:
        self._codecs: dict[str, Codec[Any]] = {}
        for model in models:
            check_model(model)
            known = self._codecs.get(model.kind_name)
            if known is not None and known.model is not model:
                raise InvalidModel(f"{known.model.__name__} and {model.__name__} are both of kind '{model.kind_name}'")
            if known is None:
                self._codecs[model.kind_name] = codec_for(model)
        self._unknown = codec_for(UnknownSession)
        self._kinds_of: dict[type[Session], tuple[str, ...]] = {}
        self._sources: dict[tuple[type[Session], Status], str] = {}

    def codec(self, kind: str) -> Codec[Any]:
        """The codec of a kind; that of `UnknownSession` where no model is known for it."""
        return self._codecs.get(kind, self._unknown)

    def may_be_secret(self, kind: str, name: str) -> bool:
        """Whether a sealed text may be in that field of a hash.

        A field that a known model declares as no secret may hold any text, such as one that looks sealed. Of other
        kinds, whatever looks sealed is taken for it.
        """
        codec = self.codec(kind)
        is_other = codec is not self._unknown and any(
            each.stored_as == name and each.secret is None for each in codec.fields.values()
        )
        return FIELD_NAME.fullmatch(name) is not None and not is_other

    def kinds_of(self, model: type[Session]) -> tuple[str, ...]:
        """The kinds that a store of `model` sees; none for `Session`, which sees all, unknown ones too."""
        if model is Session:
            return ()
        found = self._kinds_of.get(model)
        if found is None:
            found = tuple(kind for kind, codec in self._codecs.items() if issubclass(codec.model, model))
            self._kinds_of[model] = found
        return found

    def sources(self, model: type[Session], target: Status) -> str:
        """What may become `target`, as the scripts want to know it (see ``transition_error`` in record.lua).

        Each kind's own model decides, also where a store of a base class writes.
        """
        found = self._sources.get((model, target))
        if found is None:
            allowed = {kind: self._codecs[kind].model for kind in self.kinds_of(model) or self._codecs}
            if model in (Session, UnknownSession):  # what is read as unknown is written as such
                allowed["*"] = Session
            found = ",".join(
                f"{kind}:{source}"
                for kind, each in allowed.items()
                for source in ("", *(source for source, targets in each.transitions.items() if target in targets))
            )
            self._sources[model, target] = found
        return found

    @property
    def kinds(self) -> tuple[str, ...]:
        """The known kinds."""
        return tuple(self._codecs)


def check_model(model: object) -> None:
    """Refuse what is no model.

    Raises:
        InvalidModel: it is none.
    """
    if not (isinstance(model, type) and issubclass(model, Session)):
        raise InvalidModel(f"{getattr(model, '__name__', type(model).__name__)} is not a subclass of sojourn.Session")


_made: dict[type[Session], Codec[Any]] = {}


def codec_for(model: type[S]) -> Codec[S]:
    """The model's codec, made on first use.

    Raises:
        InvalidModel: it is no model, or cannot be stored as it is declared.
    """
    check_model(model)
    codec = _made.get(model)
    if codec is None:
        codec = _made.setdefault(model, Codec(model))
    return codec
