"""Every error that Sojourn raises.

::

    SojournError
    ├── InvalidInput (also a ValueError)   what was passed in is not acceptable; nothing was written
    │   ├── InvalidName                    a tenant, kind, group or hook name breaks its pattern
    │   ├── InvalidId                      not a session id
    │   ├── InvalidField                   a field is unknown, read-only, of a wrong type or too large
    │   ├── InvalidTtl                     zero, negative or too long
    │   └── InvalidCursor                  damaged, or from another query
    ├── InvalidModel (also a TypeError)    a model cannot be stored as it is declared
    ├── SettingsError                      a setting is missing, malformed or contradicts another
    ├── SessionError                       about one session: carries `session_id` and `tenant`
    │   ├── SessionNotFound                there is none, or it is past its deadline
    │   │   └── WrongOwner                 it is another owner's than the one that the call names
    │   ├── SessionExists                  the id is in use
    │   ├── SessionEnded                   it has ended; nothing may be written any more
    │   ├── VersionConflict                somebody else wrote first
    │   ├── InvalidTransition              its status may not change in this way
    │   ├── WrongKind                      it is of another kind than the store's model
    │   ├── CounterOutOfRange              an increment would leave the exact range
    │   ├── LogFull                        a log has reached its limit
    │   ├── VersionNotFound                the archive does not lead back to that version
    │   ├── SecretUnreadable               a secret of it cannot be opened; the rest of the record can be read
    │   └── SessionCorrupt                 its record was damaged by other hands
    ├── LimitError                         a limit of a tenant stands in the way: carries `tenant`
    │   ├── LimitExceeded                  there would be too many live sessions, or too many bytes of them
    │   ├── RateLimited                    there were too many calls; `retry_after` tells how long to wait
    │   └── TenantClosed                   the tenant is being deleted
    ├── TokenInvalid                       a token opens nothing (any more): carries `tenant` and `reason`
    ├── StoreError                         about the Redis behind the store
    │   ├── StoreUnavailable               it did not answer in time
    │   ├── StoreFull                      it is out of memory
    │   ├── TenantMoved                    the tenant's keys are elsewhere since the store was opened
    │   └── LayoutMismatch                 it was laid out with other settings
    └── ArchiveError                       about the PostgreSQL behind the archive
        ├── ArchiveUnavailable             it did not answer in time
        └── ArchiveSchemaMismatch          it was not migrated to this version

Messages name the session and say what to do; none carries a value that was stored.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "ArchiveError",
    "ArchiveSchemaMismatch",
    "ArchiveUnavailable",
    "CounterOutOfRange",
    "InvalidCursor",
    "InvalidField",
    "InvalidId",
    "InvalidInput",
    "InvalidModel",
    "InvalidName",
    "InvalidTransition",
    "InvalidTtl",
    "LayoutMismatch",
    "LimitError",
    "LimitExceeded",
    "LogFull",
    "RateLimited",
    "SecretUnreadable",
    "SessionCorrupt",
    "SessionEnded",
    "SessionError",
    "SessionExists",
    "SessionNotFound",
    "SettingsError",
    "SojournError",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "TenantClosed",
    "TenantMoved",
    "TokenInvalid",
    "VersionConflict",
    "VersionNotFound",
    "WrongKind",
    "WrongOwner",
]


class SojournError(Exception):
    """The root of the tree: ``except SojournError`` catches all that Sojourn raises on purpose."""


class InvalidInput(SojournError, ValueError):
    """What was passed in is not acceptable. Nothing was written."""


class InvalidName(InvalidInput):
    """A tenant, kind, group or hook name breaks its pattern."""


class InvalidId(InvalidInput):
    """Not a session id: those are random UUIDs in lower case, as ``create`` gives them out."""


class InvalidField(InvalidInput):
    """A field is unknown, read-only, of a wrong type or too large. `field` names it."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        shown = f"'{field:.80}'" if isinstance(field, str) else f"named by a {type(field).__name__}"
        super().__init__(f"field {shown}: {problem:.500}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class InvalidTtl(InvalidInput):
    """A TTL of zero, negative, or longer than the longest that is allowed."""


class InvalidCursor(InvalidInput):
    """A cursor that was damaged, or that another query gave out."""


class InvalidModel(SojournError, TypeError):
    """A model class cannot be stored as it is declared."""


class SettingsError(SojournError):
    """A setting is missing, malformed or contradicts another."""


class SessionError(SojournError):
    """About one session. Carries `session_id` and `tenant`.

    Args:
        session_id: the session's id.
        tenant: its tenant.
        detail: what follows the session in the message.
    """

    code: ClassVar[str] = ""
    """What the Lua scripts answer for it, where they do."""
    sentence: ClassVar[str] = "{detail}"

    def __init__(self, session_id: str, tenant: str, detail: str = "") -> None:
        self.session_id = session_id
        self.tenant = tenant
        self.detail = detail
        super().__init__(f"session {session_id} of tenant '{tenant}' {self.sentence.format(detail=detail)}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class SessionNotFound(SessionError):
    """There is no such session, or it is past its deadline."""

    code = "NOTFOUND"
    sentence = "does not exist or has expired"


class WrongOwner(SessionNotFound):
    """The session is not the one's whom the call names as its owner.

    It is a `SessionNotFound`, and says the same, for a stranger is not to learn which ids are in use.
    """

    code = "OWNER"


class SessionExists(SessionError):
    """The id is in use."""

    code = "EXISTS"
    sentence = "exists already"


class SessionEnded(SessionError):
    """The session has ended; nothing may be written to it any more. `status` tells how."""

    code = "ENDED"
    sentence = "has ended ({detail}) and can no longer be changed"

    @property
    def status(self) -> str:
        """The final status."""
        return self.detail


class VersionConflict(SessionError):
    """The session is no longer at the version that the write was made against."""

    code = "CONFLICT"
    sentence = "is at version {detail} by now: read it again, or use mutate(), which does"

    @property
    def current_version(self) -> int:
        """The version that the session has now."""
        return int(self.detail)


class InvalidTransition(SessionError):
    """The model does not allow this change of status."""

    code = "TRANSITION"
    sentence = "may not change its status: {detail} is not a transition of its model"

    def __init__(self, session_id: str, tenant: str, detail: str = "") -> None:
        super().__init__(session_id, tenant, " -> ".join(detail.split(" ")))


class WrongKind(SessionError):
    """The session is of another kind than the model that this store reads. `kind` tells which."""

    code = "KIND"
    sentence = "is of kind '{detail}', which is not this store's: open one with that kind's model"

    @property
    def kind(self) -> str:
        """The session's kind."""
        return self.detail


class CounterOutOfRange(SessionError):
    """An increment would take a counter out of the range in which integers are exact (2**53 - 1)."""

    code = "RANGE"
    sentence = "counter '{detail}' would leave the exact range of +-(2**53 - 1); it was not changed"


class LogFull(SessionError):
    """A log has reached its limit; nothing was appended."""

    code = "FULL"
    sentence = "has a full log: {detail}; nothing was appended (see the setting limits.log_entries)"

    def __init__(self, session_id: str, tenant: str, detail: str = "") -> None:
        super().__init__(session_id, tenant, "{} of {} entries".format(*detail.split(" ")))


class VersionNotFound(SessionError):
    """The archive does not hold what leads back to that version, or it never was."""

    sentence = "cannot be told as it was at {detail}: see 'sojourn history' for what the archive holds of it"


class SecretUnreadable(SessionError):
    """A secret of the session cannot be opened. `field` names it.

    No key of the keyring fits, or its ciphertext was damaged, or belongs to another session or field.
    """

    sentence = (
        "has a secret that cannot be opened: field '{detail}'; its key is missing from the keyring (see the settings "
        "secret_keys and secret_keys_file), or it was damaged by other hands"
    )

    @property
    def field(self) -> str:
        """The field."""
        return self.detail


class SessionCorrupt(SessionError):
    """The record was damaged by other hands. `field` names the first field that cannot be read."""

    code = "CORRUPT"
    sentence = "is damaged: field '{detail}' cannot be read; inspect its hash with redis-cli HGETALL"

    @property
    def field(self) -> str:
        """The damaged field."""
        return self.detail

    def after_the_write(self) -> SessionCorrupt:
        """The same, told by a write that was made all the same: it does not look at fields that it does not change."""
        error = SessionCorrupt(self.session_id, self.tenant, self.detail)
        error.args = (f"{self}; the change itself was made",)
        return error


class LimitError(SojournError):
    """A limit of a tenant stands in the way; no session was changed.

    `created` holds the sessions that ``create_many`` created nevertheless.

    Args:
        tenant: whose limit.
        detail: what the scripts tell of it.
        session_id: the session that was to be written, if it was about one.
    """

    code: ClassVar[str] = ""

    def __init__(self, tenant: str, detail: str = "", session_id: str = "") -> None:
        self.tenant = tenant
        self.detail = detail
        self.session_id = session_id
        self.created: tuple[Any, ...] = ()
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        return f"tenant '{self.tenant}': {self.detail}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class LimitExceeded(LimitError):
    """There would be more live sessions, or more bytes of them, than a limit allows.

    `limit` names the limit: ``sessions`` or ``bytes`` of the tenant, ``owner_sessions`` of one owner.
    """

    code = "LIMIT"

    @property
    def limit(self) -> str:
        """Which limit."""
        return self.detail.split(" ")[0]

    @property
    def bound(self) -> int:
        """How many there may be."""
        return int(self.detail.split(" ")[1])

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.detail.split(" ")[2])

    def _sentence(self) -> str:
        return (
            f"tenant '{self.tenant}' is at its limit '{self.limit}': {self.count} of {self.bound}; end sessions, or "
            "raise it with 'sojourn tenant limits'"
        )


class RateLimited(LimitError):
    """There were more calls than a rate allows. `retry_after` tells for how many seconds to wait.

    `limit` names the rate: ``creates`` or ``operations`` of the tenant, ``owner_creates`` or ``owner_operations``.
    """

    code = "RATE"

    @property
    def limit(self) -> str:
        """Which rate."""
        return self.detail.split(" ")[0]

    @property
    def retry_after(self) -> float:
        """Seconds until the call may be made again."""
        return int(self.detail.split(" ")[1]) / 1000

    def _sentence(self) -> str:
        return f"tenant '{self.tenant}' is at its rate '{self.limit}': try again in {self.retry_after:g} s"


class NoRoom(LimitError):
    """A write needs room within the limits first; never seen outside of the library, which makes some."""

    code = "ROOM"

    @property
    def wanted(self) -> tuple[int, int, int, str]:
        """How many sessions, how many of the owner, how many bytes; and the owner."""
        sessions, of_owner, size, owner = self.detail.split(" ", 3)
        return int(sessions), int(of_owner), int(size), owner


class TenantClosed(LimitError):
    """The tenant is being deleted: nothing can be created for it until that is done."""

    code = "CLOSED"

    def _sentence(self) -> str:
        return f"tenant '{self.tenant}' is being deleted: nothing can be created until 'sojourn tenant delete' is done"


class TokenInvalid(SojournError):
    """A token opens nothing. `reason` tells why; those who present tokens are not to be told.

    The reasons: ``malformed``, ``unknown`` (never issued here, expired, revoked, or its session has ended),
    ``fingerprint`` (bound to another client), ``kind`` (an access token where a refresh token is wanted, or the
    reverse), ``reused`` (a refresh token that was used before: its whole family is revoked now), ``limit`` (it was
    renewed so often that its session had no room for more tokens: its family is revoked).
    """

    code: ClassVar[str] = "TOKEN"

    def __init__(self, tenant: str, reason: str = "unknown") -> None:
        self.tenant = tenant
        self.reason = reason
        super().__init__(f"the token is not valid for tenant '{tenant}' ({reason}): a new one must be issued")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class StoreError(SojournError):
    """About the Redis behind the store."""


class StoreUnavailable(StoreError):
    """Redis did not answer in time. The write may or may not have happened; repeating the call is safe to try."""


class StoreFull(StoreError):
    """Redis is out of memory and refused the write before anything was changed.

    `created` holds the sessions that ``create_many`` created nevertheless.
    """

    def __init__(self, message: str = "", created: tuple[Any, ...] = ()) -> None:
        self.created = created
        super().__init__(message)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class TenantMoved(StoreError):
    """The tenant was given a partition of its own since the store was opened. The next call finds it there."""

    code: ClassVar[str] = "MOVED"

    def __init__(self, tenant: str, detail: str = "") -> None:
        del detail
        self.tenant = tenant
        super().__init__(f"tenant '{tenant}' was moved to a partition of its own: nothing was changed; call again")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class LayoutMismatch(StoreError):
    """The data in Redis was laid out with other settings (layout version or partitions)."""


class ArchiveError(SojournError):
    """About the PostgreSQL behind the archive."""


class ArchiveUnavailable(ArchiveError):
    """PostgreSQL did not answer in time. What waits for the archive stays in Redis."""


class ArchiveSchemaMismatch(ArchiveError):
    """The archive's tables are not those of this version: run ``sojourn archive init``."""


def _rebuild(cls: type[SojournError], args: tuple[object, ...], state: dict[str, object]) -> SojournError:
    """Unpickle an error whose constructor takes other arguments than its message."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def from_reply(code: str, session_id: str, tenant: str, detail: str) -> SojournError | None:
    """The error that a script tells with a code; None for a code that is none of ours."""
    kind = BY_CODE.get(code)
    if kind is None:
        return None
    error: SojournError
    if issubclass(kind, SessionError):
        error = kind(session_id, tenant, detail)
    elif issubclass(kind, LimitError):
        error = kind(tenant, detail, session_id)
    else:
        error = kind(tenant, detail)
    return error


def _with_codes(base: type[SojournError]) -> dict[str, type[Any]]:
    found: dict[str, type[Any]] = {}
    for each in base.__subclasses__():
        code = vars(each).get("code")
        if code:
            found[code] = each
        found |= _with_codes(each)
    return found


BY_CODE = _with_codes(SojournError)
"""The errors that the Lua scripts can answer, by their code."""
