"""A store that sees one owner's sessions alone: an id is a handle, not a proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.store.examples import JobSession, keys_of
from tests.store.test_signatures import methods

from sojourn import (
    InvalidField,
    InvalidInput,
    SessionCorrupt,
    SessionEnded,
    SessionNotFound,
    SessionStore,
    TokenInvalid,
    WrongKind,
    WrongOwner,
)

UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
Store = SessionStore[JobSession]


def edit(store: Any, session_id: str) -> None:
    """Change a session in a block."""
    with store.editing(session_id) as draft:
        draft.note = "edited"


OF_A_SESSION: dict[str, Callable[[Any, str], Any]] = {
    "get": lambda store, id_: store.get(id_),
    "update": lambda store, id_: store.update(id_, note="mine"),
    "mutate": lambda store, id_: store.mutate(id_, lambda _: {"note": "mine"}),
    "editing": edit,
    "touch": lambda store, id_: store.touch(id_),
    "set_ttl": lambda store, id_: store.set_ttl(id_, 60),
    "persist": lambda store, id_: store.persist(id_),
    "increment": lambda store, id_: store.increment(id_, attempts=1),
    "append": lambda store, id_: store.append(id_, JobSession.lines, "x"),
    "entries": lambda store, id_: store.entries(id_, JobSession.lines),
    "rotate_id": lambda store, id_: store.rotate_id(id_),
    "complete": lambda store, id_: store.complete(id_),
    "fail": lambda store, id_: store.fail(id_),
    "terminate": lambda store, id_: store.terminate(id_),
    "delete": lambda store, id_: store.delete(id_),
}
"""Methods that take one session's id."""
OF_THE_TENANT: dict[str, Callable[[Any], Any]] = {
    "events": lambda store: next(iter(store.events("group", timeout=0.1)), None),
    "peek_events": lambda store: store.peek_events(),
    "forget_events": lambda store: store.forget_events("group"),
    "archive": lambda store: store.archive,
    "administered": lambda store: store.administered("noun.verb"),
    "set_tenant_limits": lambda store: store.set_tenant_limits(sessions=5),
    "metrics": lambda store: store.metrics(),
    "expire_due": lambda store: store.expire_due(),
    "start_cleanup_scheduler": lambda store: store.start_cleanup_scheduler(),
}
"""What is not one owner's."""
ELSEWHERE = {
    "create", "create_many", "get_many", "update_many", "list", "count", "usage",  # tested below
    "tenant_limits",  # which everybody may know
    "restore",  # tested with the archive
    "cleanup_inactive",  # tested with the cleanup
    "stop_cleanup_scheduler",  # there is none to stop
    "acting", "close", "for_tenant", "owned_by",
}  # fmt: skip


@pytest.fixture(params=[False, True], ids=["fixed", "sliding"])
def everyone(open_store: StoreOpener, request: pytest.FixtureRequest) -> Store:
    """Give a store that sees all owners' sessions, which slide or not."""
    return open_store(JobSession, sliding=request.param)


def test_no_method_is_forgotten() -> None:
    """Whoever adds a method to the stores says here what it does for one owner."""
    known = {*OF_A_SESSION, *OF_THE_TENANT, *ELSEWHERE} - {"archive"}
    assert set(methods(SessionStore)) == known


@pytest.mark.parametrize("name", sorted(OF_A_SESSION))
def test_another_owners_session(everyone: Store, raw: Any, name: str) -> None:
    """Every method refuses it, changes nothing, and says no more than of an id that is not in use."""
    call = OF_A_SESSION[name]
    for theirs in (everyone.create(owner="bob"), everyone.create(), everyone.create(owner="ada ")):
        before = snapshot(raw)
        with pytest.raises(WrongOwner) as stranger:
            call(everyone.owned_by("ada"), theirs.id)
        with pytest.raises(SessionNotFound) as nobody:
            call(everyone.owned_by("ada"), UNKNOWN)
        assert str(stranger.value).replace(theirs.id, UNKNOWN) == str(nobody.value)
        assert snapshot(raw) == before


@pytest.mark.parametrize("name", sorted(OF_A_SESSION))
def test_ones_own_session(everyone: Store, name: str) -> None:
    """Every method does as without the view."""
    made = everyone.owned_by("ada").create()
    assert made.owner == "ada"
    OF_A_SESSION[name](everyone.owned_by("ada"), made.id)


def test_whether_it_ended_is_not_told(everyone: Store, raw: Any) -> None:
    """Nor of which kind it is."""
    ended, kind = everyone.create(owner="bob"), everyone.create(owner="bob")
    everyone.complete(ended.id)
    raw.hset(keys_of(everyone).session(kind.id), "kind", "zebra")
    for name in ("get", "update", "entries", "complete", "delete", "touch"):
        for each in (ended, kind):
            with pytest.raises(WrongOwner):
                OF_A_SESSION[name](everyone.owned_by("ada"), each.id)
    raw.hset(keys_of(everyone).session(kind.id), "owner", "ada")
    for name in ("get", "update", "entries"):
        with pytest.raises(WrongKind):
            OF_A_SESSION[name](everyone.owned_by("ada"), kind.id)
    with pytest.raises(SessionEnded):
        everyone.owned_by("bob").update(ended.id, note="x")


@pytest.mark.parametrize("name", sorted(OF_THE_TENANT))
def test_what_is_not_one_owners(everyone: Store, name: str) -> None:
    """The tenant's events and archive are not to be had."""
    everyone.create(owner="bob")
    with pytest.raises(InvalidInput, match="whole tenant's"):
        OF_THE_TENANT[name](everyone.owned_by("ada"))


def test_batches(everyone: Store) -> None:
    """Among several, another owner's are as if they did not exist."""
    view = everyone.owned_by("ada")
    theirs = everyone.create(owner="bob")
    one, other = view.create_many([{}, {"owner": "ada"}])
    assert (one.owner, other.owner) == ("ada", "ada")
    assert view.get_many([one.id, theirs.id, other.id]) == [everyone.get(one.id), None, everyone.get(other.id)]
    done = view.update_many({theirs.id: {"note": "x"}, one.id: {"note": "y"}})
    assert isinstance(done[0], WrongOwner)
    assert everyone.get(theirs.id).note is None
    assert everyone.get(one.id).note == "y"


def test_create_for_another(everyone: Store, raw: Any) -> None:
    """It is refused, and nothing is written."""
    view = everyone.owned_by("ada")
    everyone.count()
    before = snapshot(raw)
    for call in (lambda: view.create(owner="bob"), lambda: view.create_many([{}, {"owner": "bob"}])):
        with pytest.raises(InvalidField):
            call()
    assert snapshot(raw) == before
    assert view.create(owner=None).owner == "ada"


def test_lists_and_counts(everyone: Store) -> None:
    """They are of the owner's sessions, whatever else is asked for."""
    view = everyone.owned_by("ada")
    theirs = [everyone.create(owner=owner, tags=["x"]) for owner in ("bob", None, "ada2")]
    ours = [view.create(tags=["x"]) for _ in range(3)]
    assert view.list().sessions == view.list(tag="x").sessions == view.list(owner="ada").sessions
    assert {each.id for each in view.list().sessions} == {each.id for each in ours}
    page = view.list(limit=2)
    assert page.sessions + view.list(limit=2, cursor=page.cursor).sessions == view.list().sessions
    assert (view.count(), view.count(tag="x"), everyone.count()) == (3, 3, len(ours) + len(theirs))
    for call in (view.list, view.count):
        with pytest.raises(InvalidField):
            call(owner="bob")
    everyone.update(ours[0].id, owner="bob")
    assert view.count() == 2


@pytest.mark.beyond_one_tenant
def test_usage(everyone: Store) -> None:
    """It is the owner's own, and no other's."""
    everyone.set_tenant_limits(sessions=10)
    for owner in ("ada", "bob", "bob"):
        everyone.create(owner=owner)
    assert everyone.owned_by("ada").usage().sessions == 1
    assert everyone.owned_by("ada").usage().bytes is None
    with pytest.raises(InvalidField):
        everyone.owned_by("ada").usage(owner="bob")


def test_an_index_by_other_hands(everyone: Store, raw: Any) -> None:
    """A session that the index calls the owner's, but its record does not, is not listed."""
    theirs = everyone.create(owner="bob")
    raw.zadd(keys_of(everyone).index("owner", "ada"), {theirs.id: theirs.created_at.timestamp() * 1000})
    assert everyone.owned_by("ada").list().sessions == ()


def test_given_away(everyone: Store) -> None:
    """An owner may give a session to another, hears of it, and sees it no more."""
    view = everyone.owned_by("ada")
    made = view.create()
    assert view.update(made.id, owner="bob").owner == "bob"
    with pytest.raises(WrongOwner):
        view.get(made.id)
    assert everyone.owned_by("bob").get(made.id).owner == "bob"


def test_a_draft_given_away_meanwhile(everyone: Store) -> None:
    """What was read when it was one's own is not written when it is no longer."""
    view = everyone.owned_by("ada")
    made = view.create()

    def edit_late() -> None:
        with view.editing(made.id) as draft:
            draft.note = "late"
            everyone.update(made.id, owner="bob")

    with pytest.raises(WrongOwner):
        edit_late()
    assert everyone.get(made.id).note is None


@pytest.mark.parametrize("owner", ["", "a\nb", "a\x00", "x" * 257, "\ud800", 5, b"ada"])
def test_what_is_no_owner(everyone: Store, owner: Any) -> None:
    """It is refused at once."""
    with pytest.raises(InvalidField):
        everyone.owned_by(owner)


@pytest.mark.parametrize("owner", ["a,b", "job", "%s", "é" * 100, "a b", "*", "job\\n"])
def test_odd_owners(everyone: Store, owner: str) -> None:
    """They are told apart to the letter."""
    made = everyone.owned_by(owner).create()
    everyone.owned_by(owner).update(made.id, note="x")
    for other in (owner + "x", owner[:-1] or "y", owner.upper() + "!"):
        with pytest.raises(WrongOwner):
            everyone.owned_by(other).update(made.id, note="y")


@pytest.mark.beyond_one_tenant
def test_views_of_views(everyone: Store) -> None:
    """A view stays one's in another tenant and under another actor, and cannot become another's."""
    made = everyone.for_tenant("acme").create(owner="bob")
    view = everyone.owned_by("ada")
    views = view, view.acting(actor="x"), view.owned_by("ada")
    for each in (own.for_tenant("acme") for own in views):
        with pytest.raises(WrongOwner):
            each.get(made.id)
    with pytest.raises(InvalidField):
        view.owned_by("bob")
    assert everyone.for_tenant("acme").get(made.id).owner == "bob"


def test_a_damaged_record_is_told_to_its_owner(everyone: Store, raw: Any) -> None:
    """Who sees it hears what is wrong with it."""
    made = everyone.create(owner="ada")
    raw.hset(keys_of(everyone).session(made.id), "limit", "x")
    with pytest.raises(SessionCorrupt):
        everyone.owned_by("ada").get(made.id)
    with pytest.raises(WrongOwner):
        everyone.owned_by("bob").get(made.id)


def test_tokens_of_a_damaged_record(everyone: Store, raw: Any) -> None:
    """They are revoked at its owner's word, and at no other's."""
    made = everyone.create(owner="ada")
    everyone.tokens.issue(made.id)
    raw.hset(keys_of(everyone).session(made.id), "status", "odd")
    with pytest.raises(WrongOwner):
        everyone.owned_by("bob").tokens.revoke_session(made.id)
    assert everyone.owned_by("ada").tokens.revoke_session(made.id) == 2


def test_tokens(everyone: Store, raw: Any) -> None:
    """Another owner's are as ones that open nothing, and their sessions as ones that are not there."""
    theirs, made = everyone.create(owner="bob"), everyone.create(owner="ada")
    pair, own = everyone.tokens.issue(theirs.id), everyone.tokens.issue(made.id)
    tokens = everyone.owned_by("ada").tokens
    before = snapshot(raw)
    for call in (tokens.verify, tokens.refresh):
        for text in (pair.access, str(pair.refresh)):
            with pytest.raises(TokenInvalid):
                call(text)
    assert tokens.revoke(pair.access) == 0
    for method in (tokens.issue, tokens.list, tokens.revoke_session):
        with pytest.raises(WrongOwner) as stranger:
            method(theirs.id)
        with pytest.raises(SessionNotFound) as nobody:
            method(UNKNOWN)
        assert str(stranger.value).replace(theirs.id, UNKNOWN) == str(nobody.value)
    with pytest.raises(InvalidField):
        tokens.revoke_owner("bob")
    assert snapshot(raw) == before
    assert tokens.verify(own.access).id == made.id
    assert tokens.refresh(str(own.refresh)).refresh
    assert (len(tokens.list(made.id)), tokens.revoke_owner("ada"), tokens.revoke_session(made.id)) == (1, 2, 0)
