"""Which models can be stored, and which cannot."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AwareDatetime, Field, FutureDate, FutureDatetime, NaiveDatetime, SecretStr, field_validator
from tests.store.examples import JobSession

from sojourn import Counter, Indexed, InvalidModel, Log, Session, SessionStore, Settings, Status
from sojourn.codec import Models, codec_for
from sojourn.models import UnknownSession


def bad_models() -> dict[str, Callable[[], type[Session]]]:
    """Return declarations that cannot be stored, by what is wrong with them."""

    def collision() -> type[Session]:
        class CollisionSession(Session):
            x: AwareDatetime
            x_ms: int = 0

        return CollisionSession

    def core_collision() -> type[Session]:
        class CoreSession(Session):
            created_at_ms: int = 0

        return CoreSession

    def changed_core() -> type[Session]:
        class ChangedSession(Session):
            version: str = "1"  # type: ignore[assignment]

        return ChangedSession

    def plain_owner() -> type[Session]:
        class PlainSession(Session):
            owner: str

        return PlainSession

    def upper() -> type[Session]:
        class UpperSession(Session):
            camelCase: int = 0  # noqa: N815

        return UpperSession

    def float_counter() -> type[Session]:
        class FloatSession(Session):
            n: Annotated[float, Counter()] = 0

        return FloatSession

    def counter_from_one() -> type[Session]:
        class OneSession(Session):
            n: Annotated[int, Counter()] = 1

        return OneSession

    def bounded_counter() -> type[Session]:
        class BoundedSession(Session):
            n: Annotated[int, Counter(), Field(ge=0)] = 0

        return BoundedSession

    def validated_counter() -> type[Session]:
        class ValidatedSession(Session):
            n: Annotated[int, Counter()] = 0

            @field_validator("n")
            @classmethod
            def _small(cls, value: int) -> int:
                return value

        return ValidatedSession

    def indexed_counter() -> type[Session]:
        class IndexedSession(Session):
            n: Annotated[int, Counter(), Indexed()] = 0

        return IndexedSession

    def indexed_float() -> type[Session]:
        class IndexedFloatSession(Session):
            n: Annotated[float, Indexed()] = 0

        return IndexedFloatSession

    def naive() -> type[Session]:
        class NaiveSession(Session):
            at: NaiveDatetime | None = None

        return NaiveSession

    def future() -> type[Session]:
        class FutureSession(Session):
            at: FutureDatetime | None = None

        return FutureSession

    def future_date() -> type[Session]:
        class FutureDaySession(Session):
            on: FutureDate | None = None

        return FutureDaySession

    def secret() -> type[Session]:
        class SecretSession(Session):
            words: list[SecretStr] = []  # noqa: RUF012

        return SecretSession

    def log_name() -> type[Session]:
        class LoggedSession(Session):
            Lines: ClassVar[Log[str]] = Log(str)

        return LoggedSession

    def bad_kind() -> type[Session]:
        class KindSession(Session, kind="a:b"):
            pass

        return KindSession

    return {name: value for name, value in locals().items() if callable(value)}


@pytest.mark.parametrize("name", sorted(bad_models()))
def test_bad_model(name: str) -> None:
    """What would lose or mix up data is refused when the store is opened, with the place in the message."""
    model = bad_models()[name]()
    with pytest.raises(InvalidModel) as caught:
        SessionStore(model=model, settings=Settings())
    assert model.__name__ in str(caught.value)
    assert isinstance(caught.value, TypeError)


def test_two_models_of_one_kind() -> None:
    """A kind has one model."""

    class OneSession(Session, kind="same"):
        pass

    class OtherSession(Session, kind="same"):
        pass

    with pytest.raises(InvalidModel, match="OneSession and OtherSession"):
        Models([OneSession, OtherSession])
    assert Models([OneSession, OneSession]).kinds == ("same",)


def test_kinds_come_from_names() -> None:
    """A subclass of a subclass has a kind of its own, and the fields and logs of both."""

    class HTTPCallSession(JobSession):
        retries: int = 0

    assert HTTPCallSession.kind_name == "httpcall"
    codec = codec_for(HTTPCallSession)
    assert {"retries", "queue", "owner"} <= set(codec.fields)
    assert set(codec.logs) == {"lines"}
    assert JobSession.kind_name == "job"


def test_models_know_their_kinds() -> None:
    """A base class stands for all of its subclasses' kinds, and `Session` for any."""

    class SubJobSession(JobSession):
        pass

    models = Models([Session, JobSession, SubJobSession])
    assert models.kinds_of(JobSession) == ("job", "sub_job")
    assert models.kinds_of(Session) == ()
    assert models.codec("never").model is UnknownSession
    assert models.sources(JobSession, Status.IN_PROGRESS) == "job:,job:pending,sub_job:,sub_job:pending"


def test_sessions_are_frozen_values() -> None:
    """They compare, pickle and copy, and cannot be assigned to."""
    now = datetime.fromisoformat("2024-05-01T12:00:00+00:00")
    session = JobSession(
        id="x", tenant="t", kind="job", created_at=now, updated_at=now + timedelta(seconds=5), accessed_at=now
    )  # fmt: skip
    again = pickle.loads(pickle.dumps(session))  # noqa: S301
    assert again == session
    assert session.duration == timedelta(seconds=5)
    with pytest.raises(ValueError, match="frozen"):
        session.limit = 3  # type: ignore[misc]
    assert session.is_live


@pytest.mark.parametrize("field", ["id", "tenant", "kind", "version", "created_at", "expires_at", "ttl", "end_reason"])
def test_kept_fields_cannot_be_set(field: str) -> None:
    """What Sojourn keeps is not the client's to write."""
    codec: Any = codec_for(JobSession)
    limits = Settings().limits
    with pytest.raises(ValueError, match="kept by Sojourn"):
        codec.encode_new({field: "x"}, "i", "t", limits)
    with pytest.raises(ValueError, match="kept by Sojourn"):
        codec.encode_changes({field: 1}, limits)
