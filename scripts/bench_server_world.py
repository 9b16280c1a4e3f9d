"""A Redis with sessions of every sort, in which scripts are called, and what a case of such calls is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import SecretStr

from bench_calls import FIELDS
from bench_tenancy import SecretSession
from sojourn import Counter, Log, McpSession, Session, SessionStore
from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations import expiry, revival, sealed, tenancy
from sojourn.operations.core import Operation
from sojourn.secrets import new_key
from sojourn.settings import Settings
from sojourn.tenants import link

__all__ = ["GROUP", "LARGE", "LINES", "Act", "Case", "World", "prepared"]

LINES: Final[Log[str]] = Log(str, name="lines")
LARGE: Final = {**FIELDS, "tags": [f"tag-{n}" for n in range(64)], "metadata": {"text": "m" * 60_000}}
GROUP: Final = ARCHIVE_GROUP


class Counting(Session, kind="counting"):
    """A session with counters."""

    hits: Annotated[int, Counter()] = 0
    misses: Annotated[int, Counter()] = 0


class World:
    """A store for each model, and ways to bring about what no store does.

    Args:
        url: Redis.
        stack: closes what was opened.
    """

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.settings = Settings(redis_url=url, secret_keys=(SecretStr(new_key()),))
        self.store = stack.enter_context(SessionStore(model=SecretSession, settings=self.settings, tenant="acme"))
        self.mcp = stack.enter_context(SessionStore(model=McpSession, settings=self.settings, tenant="acme"))
        self.counting = stack.enter_context(SessionStore(model=Counting, settings=self.settings, tenant="acme"))
        self.link = stack.enter_context(link.Link(self.settings))
        self.link.open()
        self.keys = self.link.homes.of("acme")
        self.context = self.settings.context(self.settings.load_models(SecretSession)).of(self.keys)

    def run(self, operation: Operation[Any]) -> Any:
        """Send an operation."""
        return self.link.run(operation)

    def sessions(self, count: int, **fields: Any) -> list[str]:
        """Ids of new ones."""
        return [
            each.id
            for start in range(0, count, 500)
            for each in self.store.create_many([{**FIELDS, **fields}] * min(500, count - start), ttl=3600)
        ]

    def tokens(self, session_id: str, count: int) -> str:
        """Give a session so many tokens; a refresh token of the first pair."""
        pairs = [self.store.tokens.issue(session_id) for _ in range(count // 2)]
        return str(pairs[0].refresh)

    def used_tokens(self, session_id: str, count: int) -> str:
        """Refresh a pair so often; the first refresh token."""
        first = token = str(self.store.tokens.issue(session_id).refresh)
        for _ in range(count):
            token = str(self.store.tokens.refresh(token).refresh)
        return first

    def overdue(self, ids: list[str]) -> list[str]:
        """Have sessions be past their deadline."""
        for each in ids:
            self.link.ask(
                ("HSET", self.keys.session(each), "expires_at_ms", 1),
                ("ZADD", self.keys.partition.deadlines, 1, self.keys.member(each)),
            )
        return ids

    def states(self, ids: list[str]) -> list[expiry.Archived]:
        """Sessions, as if the archive had them as they are."""
        found = self.link.ask(*(("HMGET", self.keys.session(each), "version", "updated_at_ms") for each in ids))
        return [
            expiry.Archived(self.keys, each, version, updated, {})
            for each, (version, updated) in zip(ids, found, strict=True)
        ]

    def lines(self, count: int, **fields: Any) -> str:
        """A session with a log of so many lines."""
        (session_id,) = self.sessions(1, **fields)
        for start in range(0, count, 1000):
            self.store.append(session_id, LINES, *["x" * 200] * min(1000, count - start))
        return session_id

    def entries(self, count: int) -> tuple[str, list[str]]:
        """Let the archive's group take events; the run of the server, and their ids."""
        events = self.keys.partition.events
        self.link.ask(("XGROUP", "CREATE", events, GROUP, "0"))
        (taken,) = self.link.ask(("XREADGROUP", "GROUP", GROUP, "x", "COUNT", count, "STREAMS", events, ">"))
        (info,) = self.link.ask(("INFO", "server"))
        run_id = next(line[7:] for line in str(info).splitlines() if line.startswith("run_id:"))
        return run_id, [entry for entry, _ in taken[0][1]]

    def reseal(self, session_id: str) -> None:
        """Replace a text in a record by itself."""
        (text,) = self.link.ask(("HGET", self.keys.session(session_id), "detail"))
        self.run(sealed.replace_texts((self.keys, session_id), {"detail": (text, text)}))

    def bring_back(self, session_id: str, staged: dict[str, str]) -> None:
        """Rehydrate a session from what Redis holds, and then restore it; each finds its logs staged."""
        keys, context = self.keys, self.context
        texts = self.run(sealed.read_records((keys, session_id)))
        read_at = self.run(revival.guard([keys.partition]))
        for number in range(2):
            for log, key in staged.items():
                self.link.ask(("COPY", keys.log(session_id, log), f"{key}:{number}", "REPLACE"))
        self.store.delete(session_id)
        self.link.ask(
            ("ZREM", keys.partition.dirty, keys.member(session_id)),
            ("ZADD", keys.partition.removals, 0, keys.member(session_id)),
        )
        self.run(expiry.claim_due(context, keys.partition, 1, archived=False))
        self.link.ask(("ZREM", keys.partition.removed, keys.member(session_id)))
        own = [{log: f"{key}:{number}" for log, key in staged.items()} for number in range(2)]
        self.run(revival.rehydrate(context, keys, session_id, texts, own[0], read_at))
        self.link.ask(("DEL", keys.session(session_id)))
        held = {name: texts[name] for name in ("version", "updated_at_ms")}
        self.run(
            revival.restore(
                context, SecretSession, session_id, "operation", texts, own[1], restored=1, held=held, before={},
                ttl_ms=3_600_000, max_lifetime_ms=None,
            )
        )  # fmt: skip

    def move(self, ids: list[str]) -> None:
        """Move sessions to another partition."""
        new = TenantKeys("acme", PartitionKeys(100))
        self.link.ask(("HSET", self.keys.limits, "moved", 100))
        self.run(tenancy.move_sessions(self.keys, new, ids))
        self.link.ask(("HDEL", self.keys.limits, "moved"))

    def erase(self, ids: list[str]) -> None:
        """Remove sessions as a deletion of their tenant does, which then goes no further."""
        self.link.ask(("HSET", self.keys.limits, "closed", "now"))
        self.run(tenancy.erase(self.keys, "session", ids))
        self.run(tenancy.tell_erased(self.context, self.keys.limits, self.keys.partition, "{}"))
        self.link.ask(("HDEL", self.keys.limits, "closed", "told"))


Act = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One call, or some."""

    name: str
    prepare: Callable[[World], Act]
    """Does all that comes before; what it returns is measured."""
    is_largest: bool = True
    of: tuple[str, ...] = ()
    """The scripts that it is the largest case of."""


@contextmanager
def prepared(case: Case, url: str) -> Iterator[Act]:
    """The case's call, ready to be made in an empty Redis."""
    with ExitStack() as stack:
        yield case.prepare(World(url, stack))
