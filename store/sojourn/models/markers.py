"""What a field of a model can be besides plain: indexed, a counter, or an append-only log."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from sojourn.errors import InvalidModel
from sojourn.sealing import holds_secret

__all__ = ["Counter", "Indexed", "Log"]

E = TypeVar("E")


@dataclass(frozen=True)
class Indexed:
    """Marks a field by whose value sessions can be listed: ``list(where={"workspace_id": "w1"})``.

    For strings, integers, enums, UUIDs and lists of strings. Each value costs one sorted set entry (about 150 bytes).
    Sessions that were created before the field was indexed are not found by it.

    Example:
        >>> from typing import Annotated
        >>> from sojourn import Session
        >>> class JobSession(Session):
        ...     queue: Annotated[str, Indexed()]
    """


@dataclass(frozen=True)
class Counter:
    """Marks an integer field that ``increment`` adds to atomically, without a version to conflict with.

    Args:
        kept_by: the call that alone changes the field, where it is told along with something else; every other is
            refused, with that advice.

    Example:
        >>> from typing import Annotated
        >>> from sojourn import Session
        >>> class JobSession(Session):
        ...     attempts: Annotated[int, Counter()] = 0
    """

    kept_by: str = ""


class Log(Generic[E]):
    """An append-only list of a session, kept beside its record: ``append`` adds to it, ``entries`` reads it.

    Declared as a class variable, since reading a session does not load its logs.

    Args:
        entry: the type of one entry; anything pydantic can validate.
        name: set by the model that declares it; give it for a log of a model that is not at hand.
        keep: makes it a bounded log, which never fills up: once the archive has them, only the newest `keep` entries
            stay in Redis; beyond the setting ``limits.log_entries`` the oldest go even if the archive does not have
            them. None: all stay, and a full log takes no more.

    Raises:
        InvalidModel: `keep` is not a positive integer.

    Example:
        >>> from typing import ClassVar
        >>> from sojourn import Session
        >>> class JobSession(Session):
        ...     lines: ClassVar[Log[str]] = Log(str)
        >>> JobSession.lines.name
        'lines'
    """

    def __init__(self, entry: type[E] | Any, name: str = "", *, keep: int | None = None) -> None:
        if keep is not None and (type(keep) is not int or keep < 1):
            raise InvalidModel("a bounded log keeps a positive number of entries")
        self.entry = entry
        self.name = name
        self.keep = keep

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Log({self.name!r})"

    @cached_property
    def adapter(self) -> TypeAdapter[E]:
        """Validates and serialises one entry.

        Raises:
            InvalidModel: the type of its entries is not known, or cannot be stored.
        """
        try:
            try:
                adapter: TypeAdapter[E] = TypeAdapter(self.entry, config=ConfigDict(ser_json_inf_nan="constants"))
            except PydanticUserError:  # a model brings a config of its own
                adapter = TypeAdapter(self.entry)
            if not adapter.pydantic_complete:
                adapter.rebuild()
        except (PydanticUserError, NameError) as error:
            raise InvalidModel(f"log '{self.name}': {str(error).splitlines()[0]}") from error
        if holds_secret(adapter.core_schema):
            raise InvalidModel(f"log '{self.name}': entries are not sealed, so they cannot hold secrets")
        return adapter
