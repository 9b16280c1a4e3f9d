"""The fixtures as the tests of another project see them: pytest runs, with nothing but Sojourn installed."""

from __future__ import annotations

import sys

import pytest
from tests.acceptance.documents import ROOT, fenced

pytest_plugins = ["pytester"]

_SYNC = """
    import pytest
    from sojourn import SessionNotFound, SessionStore
    from sojourn.settings import load_settings

    def test_store(session_store, session_events):
        session = session_store.create(owner="ada", ttl=60)
        assert session_store.get(session.id).owner == "ada"
        assert session_events.types == ["created"]

    def test_empty_again(session_store, session_events):
        assert session_store.count() == 0 and not session_events.events

    def test_program_with_a_store_of_its_own(session_store):
        session = session_store.create(owner="ada")
        with SessionStore() as own:
            assert own.get(session.id).owner == "ada"
        assert (load_settings().archive_url, load_settings().queue_url) == (None, None)

    def test_clock(session_store, session_clock, session_events):
        session = session_store.create(ttl=3600)
        session_clock.advance(3601)
        with pytest.raises(SessionNotFound):
            session_store.get(session.id)
        assert session_events.of("expired", session=session)
"""
_ASYNC = """
    import asyncio

    def test_async(async_session_store, session_store):
        async def use():
            first = await async_session_store.create(owner="ada")
            await asyncio.gather(*(async_session_store.get(first.id) for _ in range(20)))
            return first
        first = asyncio.run(use())
        assert session_store.get(first.id) == first
        assert asyncio.run(use())
"""


@pytest.mark.parametrize(("real", "outcomes"), [(False, {"passed": 5}), (True, {"passed": 4, "skipped": 1})])
def test_both_kinds_of_redis(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, real: bool, outcomes: dict[str, int]
) -> None:
    """The same tests run on either, without a warning; the clock's is skipped on the real one, and says why."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", "postgresql://nobody@127.0.0.1:1/production")
    monkeypatch.setenv("SOJOURN_REDIS_URL", "redis://127.0.0.1:1/0")
    pytester.makefile(
        ".yaml", sojourn="archive_url: postgresql://nobody@127.0.0.1:1/file\nqueue_url: redis://127.0.0.1:1/1"
    )
    pytester.makepyfile(test_sync=_SYNC, test_async=_ASYNC)
    found = pytester.runpytest("-W", "error", "-rs", *["--sojourn-redis"] * real)
    found.assert_outcomes(**outcomes)
    if real:
        found.stdout.fnmatch_lines(["*a real Redis goes by its machine's clock*"])


def test_model_and_settings_are_the_projects(pytester: pytest.Pytester) -> None:
    """A conftest.py names them once for all tests."""
    pytester.makeconftest(
        """
        import pytest
        from sojourn import Session

        class Chat(Session):
            room: str

        @pytest.fixture
        def session_model():
            return Chat

        @pytest.fixture
        def session_settings():
            return {"ttl": 5, "partitions": 3, "tenant": "acme"}
        """
    )
    pytester.makepyfile(
        """
        def test_chat(session_store, async_session_store, session_clock, session_events):
            chat = session_store.create(room="lobby")
            assert (chat.room, chat.tenant, async_session_store.tenant) == ("lobby", "acme", "acme")
            session_clock.advance(6)
            assert session_events.types == ["created", "expired"]
        """
    )
    pytester.runpytest("-W", "error").assert_outcomes(passed=1)


def test_one_test_can_want_a_real_redis(pytester: pytest.Pytester) -> None:
    """The marker is for what the stand-in cannot show."""
    pytester.makepyfile(
        """
        import pytest
        from sojourn.testing import FakeRedis, RealRedis

        @pytest.mark.sojourn_redis
        def test_real(session_redis, session_store):
            assert isinstance(session_redis, RealRedis)

        def test_fake(session_redis, session_store):
            assert isinstance(session_redis, FakeRedis)
        """
    )
    pytester.runpytest("-W", "error", "--strict-markers").assert_outcomes(passed=2)


def test_another_server_than_the_bundled_one(pytester: pytest.Pytester, redis_executable: str) -> None:
    """A project that runs a newer Redis tests on that."""
    pytester.makepyfile("def test_real(session_store): assert session_store.count() == 0")
    pytester.runpytest("--sojourn-redis-server", redis_executable).assert_outcomes(passed=1)


def test_a_server_that_is_not_there(pytester: pytest.Pytester) -> None:
    """The error names it."""
    pytester.makepyfile("def test_real(session_store): assert session_store.count() == 0")
    missing = pytester.runpytest("--sojourn-redis-server", "/nowhere/redis-server")
    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(["*/nowhere/redis-server*"])


def test_nothing_is_imported_for_others(pytester: pytest.Pytester) -> None:
    """Who has Sojourn installed and does not ask for it pays nothing."""
    pytester.makepyfile("import sys\ndef test_it(): assert not [n for n in sys.modules if n.startswith('sojourn')]")
    found = pytester.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    found.assert_outcomes(passed=1)


def test_the_guide(pytester: pytest.Pytester) -> None:
    """Its own tests pass, beside the `conftest.py` that it shows."""
    for block in fenced((ROOT / "docs" / "guides" / "testing.md").read_text("utf-8"), "python"):
        first, _, rest = block.partition("\n")
        if first.startswith("# "):
            (pytester.path / first[2:]).write_text(rest, "utf-8")
    pytester.syspathinsert()
    pytester.runpytest("-W", "error").assert_outcomes(passed=3)
