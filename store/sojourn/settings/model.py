"""The settings, their types, defaults and what they must agree on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from redis.exceptions import RedisError

from sojourn import redis_urls
from sojourn.codec import Models
from sojourn.errors import SettingsError
from sojourn.hook_names import check_hook
from sojourn.keys import PartitionKeys, TenantKeys, check_tenant
from sojourn.limits import Limits, milliseconds
from sojourn.models import DocumentationSession, McpSession, Session
from sojourn.operations.core import Context
from sojourn.quotas import TenantLimits
from sojourn.sealing import Keyring, parse_keys, read_keys
from sojourn.settings.files import config_file
from sojourn.settings.masking import masked
from sojourn.settings.names import resolve
from sojourn.settings.parts import FUNCTION, ArchiveRetention, HookSettings, Seconds, check_kept

__all__ = ["Settings"]

_NOTHING: Final = frozenset({"", "null", "none"})
"""What an environment variable says, which is text, where there is no such thing."""


def _listed(text: str) -> object:
    """Several texts in one: a JSON list, or separated by commas or white space."""
    if text.lstrip().startswith("["):
        with suppress(ValueError):
            return json.loads(text)
    return text.replace(",", " ").split()


class Settings(BaseSettings):
    """Sojourn's settings. Durations are seconds unless they are timedeltas.

    Example:
        >>> Settings(ttl=timedelta(minutes=30)).ttl
        datetime.timedelta(seconds=1800)
    """

    model_config = SettingsConfigDict(
        env_prefix="SOJOURN_", env_nested_delimiter="__", extra="ignore", frozen=True, validate_default=True,
        hide_input_in_errors=True,
    )  # fmt: skip

    redis_url: str = "redis://127.0.0.1:6379/0"
    """The sessions' Redis: ``redis://``, ``rediss://``, ``unix://``, or ``redis+sentinel://host:port,host:port/service/db``
    where sentinels tell its place (``sentinel_username`` and ``sentinel_password`` are parameters for them)."""
    queue_url: str | None = None
    """RQ's Redis; None: the sessions' own."""
    archive_url: str | None = None
    """The archive's PostgreSQL, ``postgresql://...``; None: there is no archive."""
    partitions: int = Field(default=64, ge=1, le=100)
    """Fixed once a Redis has been laid out."""
    tenant: str = "default"
    """Whose sessions, where a store or a command is not told."""
    actor: str = ""
    """Who acts, for events and the audit trail, where a store is not told; "": on the command line ``cli:<user>``."""
    trace_id: str = ""
    """In which trace, where a store is not told."""
    ttl: timedelta | None = timedelta(hours=1)
    """How long a session lives when ``create`` does not say; None: for ever."""
    max_lifetime: timedelta | None = None
    """The longest that sliding, touching or ``set_ttl`` may keep a session alive, counted from its creation."""
    sliding: bool = False
    """Whether reading and writing a session moves its deadline to now + ttl."""
    slide_gain: float = Field(default=0.05, ge=0, le=1)
    """A read moves the deadline only if that gains this part of the TTL, so that most reads write nothing."""
    token_access_ttl: timedelta = timedelta(minutes=15)
    """How long an access token is valid when ``tokens.issue`` does not say; never longer than its session lives."""
    token_refresh_ttl: timedelta | None = timedelta(days=14)
    """How long a refresh token is, from when it was given out; None: there are none."""
    touch_events: bool = False
    """Whether touches appear among the events."""
    grace: timedelta = timedelta(days=7)
    """How long a session outlives its deadline or its end while the archive, or a worker, does not come to it."""
    retention: timedelta = timedelta(seconds=60)
    """How long an ended session stays readable in Redis; longer, up to `grace`, while the archive waits for it."""
    events_cap: int = Field(default=10_000, ge=100, le=10**9)
    """Events kept per partition where no group reads them."""
    events_alarm: int = Field(default=100_000, ge=100, le=10**9)
    """Events of a partition that some group has not read yet, past which it is told: none of them is ever dropped."""
    dirty_alarm: Seconds = 300.0
    """For how long a change may wait for the archive before it is told."""
    socket_timeout: Seconds = 1.0
    """For one attempt of a library call to get its reply."""
    retries: int = Field(default=2, ge=0, le=10)
    """Further attempts of a library call after a lost connection or reply."""
    max_connections: int = Field(default=100, ge=1, le=10**6)
    """Redis connections of one store; an asynchronous one has one more, which all its single calls share."""
    limits: Limits = Limits()
    """What one session may hold."""
    tenant_limits: TenantLimits = TenantLimits()
    """The limits of tenants that begin from now on; ``sojourn tenant limits`` changes those of one that is there."""
    models: tuple[str, ...] = ()
    """Models that workers and the command line shall know, as ``module:Class``."""
    hooks: dict[str, HookSettings] = Field(default_factory=dict)
    """Hooks by name."""
    queue_prefix: str = "sojourn"
    """The RQ queues are called ``<prefix>-hooks`` and ``<prefix>-archive``."""
    sweep_interval: Seconds = 0.02
    """How often a worker looks for due deadlines."""
    sweep_batch: int = Field(default=50, ge=1, le=75)
    """Sessions that one sweep script claims at most, and removes: 50 of each take Redis some 4 ms."""
    dispatch_block: Seconds = 0.5
    """For how long one read of events waits for the next."""
    takeover_after: Seconds = 15.0
    """A dispatcher that leaves its events unacknowledged for so long is taken to be dead."""
    archive_interval: Seconds = 5.0
    """How often the workers run the archive."""
    archive_retention: tuple[ArchiveRetention, ...] = ()
    """How long ended sessions stay in the archive; the first rule that matches a session counts. None: for ever."""
    archive_retention_interval: Seconds = 3600.0
    """How often the workers apply `archive_retention` and `audit_retention`."""
    audit_retention: timedelta | None = None
    """How long the audit trail is kept in the archive; None: for ever."""
    archive_batch: int = Field(default=2_000, ge=1, le=4_000)
    """Sessions that an archive run reads and writes at once at most."""
    archive_timeout: Seconds = 10.0
    """For one statement, and for connecting."""
    backstop_interval: Seconds = 30.0
    """How often a job claims all that is due, in case no listener runs, and combs the indexes for vanished records."""
    drain_timeout: Seconds = 10.0
    """How long workers may finish what they are doing after SIGTERM."""
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Keys that seal secret fields, as ``sojourn secrets keygen`` prints them. The last one seals, all open. In the
    environment: a JSON list, or several separated by commas or white space."""
    secret_keys_file: Path | None = None
    """A file with such keys, one a line; they come after those of `secret_keys`."""
    metrics_tenants: Annotated[Annotated[int, Field(ge=0, le=1000)] | tuple[str, ...], NoDecode] = 20
    """Which tenants metrics tell apart: so many of the largest, or those named. The others are told as ``other``."""
    health_sessions: int = Field(default=1000, ge=1)
    """Live sessions of one tenant past which the deployment is told as degraded."""
    health_memory_mb: int = Field(default=100, ge=1)
    """The same for what the records of one tenant take, in MB of 2**20 bytes."""
    health_cleanup_failures: float = Field(default=0.05, ge=0, le=1)
    """The same for the part of the recent cleanup runs that failed."""
    health_scheduler_silence: Seconds = 300.0
    """For how long the scheduler, or all sweepers, may be silent before the deployment is told as degraded."""
    http_host: str = "127.0.0.1"
    """Where a worker serves ``/livez``, ``/readyz``, ``/health`` and ``/metrics``."""
    http_port: int | None = Field(default=None, ge=0, le=65535)
    """And at which port; 0: any that is free, None: it does not."""
    operation_metrics: bool = False
    """Whether clients count their calls, by result and duration, in Redis, so that a worker's ``/metrics`` tells."""
    tells_settings: bool = False
    """Whether a store tells in Redis, once, which of its settings must agree with others', for ``sojourn doctor`` to
    compare; it holds no secret. Workers always do. A login that is confined to a tenant cannot."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on workers log."""
    log_format: Literal["console", "json"] | None = None
    """How workers write their log lines to standard error; None: for a console on a terminal, else as JSON."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config_file())

    _known_keyring: tuple[object, object, Keyring | None] | None = PrivateAttr(default=None)

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _are_keys(cls, value: object) -> object:
        """Nothing of the value is told."""
        if isinstance(value, str):
            value = _listed(value)
        if not isinstance(value, list | tuple) or not all(isinstance(each, str | SecretStr) for each in value):
            raise SettingsError("secret_keys is not a list of keys, nor text with keys in it")
        return value

    @field_validator("metrics_tenants", mode="before")
    @classmethod
    def _are_tenants(cls, value: object) -> object:
        """A number, or names: in the environment as text."""
        if isinstance(value, str):
            return int(value) if value.strip().isdecimal() else _listed(value)
        return value

    @field_validator("metrics_tenants")
    @classmethod
    def _are_named(cls, value: int | tuple[str, ...]) -> int | tuple[str, ...]:
        return value if isinstance(value, int) else tuple(map(check_tenant, value))

    @field_validator("queue_url", "archive_url", "http_port", "log_format", mode="before")
    @classmethod
    def _is_given(cls, value: object) -> object:
        """An empty variable, or "null", takes back what the file says: there is no such thing."""
        return None if isinstance(value, str) and value.strip().lower() in _NOTHING else value

    @field_validator("redis_url", "queue_url")
    @classmethod
    def _is_a_redis_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Nothing of the value is told, nor what redis-py says of it: either may be a part of a password."""
        if value is None:
            return None
        try:
            pool = redis_urls.pool(value)
            pool.connection_class(**pool.connection_kwargs)  # it checks its options; connects to nothing
        except (ValueError, TypeError, RedisError):
            raise SettingsError(
                f"{info.field_name} is not a URL for Redis: redis://host:port/db, rediss://, unix:// or "
                "redis+sentinel://host:port,host:port/service/db, with options that redis-py knows; what is special in "
                "a URL is written there as % and two digits"
            ) from None
        return value

    @field_validator("tenant")
    @classmethod
    def _is_a_tenant(cls, value: str) -> str:
        return check_tenant(value)

    @field_validator(
        "ttl", "max_lifetime", "grace", "retention", "token_access_ttl", "token_refresh_ttl",
        "audit_retention", mode="before",
    )  # fmt: skip
    @classmethod
    def _from_text(cls, value: object) -> object:
        """Environment variables are text: seconds stay seconds there, and "null" is no expiry."""
        if isinstance(value, str):
            if value.strip().lower() in _NOTHING - {""}:
                return None
            with suppress(ValueError):
                return float(value)
        return value

    @field_validator("ttl", "max_lifetime", "grace", "retention", "token_access_ttl", "token_refresh_ttl")
    @classmethod
    def _is_a_ttl(cls, value: timedelta | None) -> timedelta | None:
        if value != timedelta(0):
            milliseconds(value, "a duration")
        return value

    @field_validator("audit_retention")
    @classmethod
    def _is_kept(cls, value: timedelta | None) -> timedelta | None:
        return check_kept(value)

    @field_validator("actor", "trace_id")
    @classmethod
    def _is_told(cls, value: str) -> str:
        if not value.isprintable() or len(value.encode(errors="replace")) > 256:
            raise ValueError("is printable text of at most 256 bytes")
        return value

    @field_validator("hooks")
    @classmethod
    def _are_names(cls, value: dict[str, HookSettings]) -> dict[str, HookSettings]:
        for name in value:
            check_hook(name)
        return value

    @field_validator("models")
    @classmethod
    def _are_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not FUNCTION.fullmatch(each):
                raise ValueError(f"model {each!r} is not of the form module:Class")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Settings:
        if timedelta(0) in (self.token_access_ttl, self.token_refresh_ttl):
            raise ValueError("token_access_ttl and token_refresh_ttl cannot be zero")
        if self.ttl == timedelta(0) or self.grace == timedelta(0) or self.max_lifetime == timedelta(0):
            raise ValueError("ttl, max_lifetime and grace cannot be zero; for no expiry set ttl to null")
        if self.ttl and self.max_lifetime and self.ttl > self.max_lifetime:
            raise ValueError(f"ttl ({self.ttl}) is longer than max_lifetime ({self.max_lifetime})")
        _ = self.keyring  # that it is no good is told at once
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Logs and tracebacks show settings, and shall not show passwords."""
        for name, value in super().__repr_args__():
            yield name, masked(value)

    @property
    def keyring(self) -> Keyring | None:
        """The keys of `secret_keys` and `secret_keys_file`, read once; None where there are none.

        Raises:
            SettingsError: one is malformed, or the file cannot be read. No key is told.
        """
        known = self._known_keyring
        if known is None or known[0] is not self.secret_keys or known[1] is not self.secret_keys_file:
            keys = parse_keys(
                (each.get_secret_value().strip(), f"key {number} of secret_keys")
                for number, each in enumerate(self.secret_keys, 1)
            )
            if self.secret_keys_file is not None:
                keys += read_keys(self.secret_keys_file)
            known = self._known_keyring = self.secret_keys, self.secret_keys_file, Keyring(keys) if keys else None
        return known[2]

    def load_models(self, *more: type[Session]) -> Models:
        """The ready models, those named in the settings, and `more`.

        Raises:
            SettingsError: a name cannot be imported, or is not a model.
        """
        found: list[type[Session]] = []
        for name in self.models:
            model = resolve(name)
            if not (isinstance(model, type) and issubclass(model, Session)):
                raise SettingsError(f"models: {name} is not a subclass of sojourn.Session")
            found.append(model)
        return Models([Session, DocumentationSession, McpSession, *found, *more])

    def context(self, models: Models, *, actor: str = "", trace: str = "") -> Context:
        """What operations need to know of these settings."""
        return Context(
            keys=TenantKeys.of(self.tenant, self.partitions),
            models=models,
            limits=self.limits,
            grace_ms=milliseconds(self.grace) or 0,
            retention_ms=round(self.retention.total_seconds() * 1000),
            events_cap=self.events_cap,
            sliding=self.sliding,
            slide_gain=self.slide_gain,
            tells_touches=self.touch_events,
            actor=actor,
            given_trace=trace,
            keyring=self.keyring,
        )

    @property
    def all_partitions(self) -> tuple[PartitionKeys, ...]:
        """The keys of every partition that tenants share; see `Homes` for those that some have for themselves."""
        return tuple(PartitionKeys(number) for number in range(self.partitions))
