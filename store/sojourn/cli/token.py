"""``sojourn token`` and ``sojourn rotate``. Tokens come on stdin, for others can read a command line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import click

from sojourn.cli import words
from sojourn.cli.asking import confirm
from sojourn.cli.completing import completes_id
from sojourn.cli.ids import ID, whole
from sojourn.cli.output import Cell, Column, hint, print_line
from sojourn.cli.pages import show
from sojourn.cli.parameters import DRY_RUN, VERSION, YES, Lifetime, lifetime
from sojourn.cli.shapes import Document, Listing
from sojourn.cli.shared import Command, Group, State, pass_state
from sojourn.cli.tables import session_json, shown
from sojourn.cli.telling import View, tell, tell_list
from sojourn.tokens.model import TokenFamily, TokenPair

__all__ = ["rotate", "token"]

_COLUMNS: Final = (
    Column("FAMILY"), Column("ISSUED"), Column("RENEWED"), Column("ACCESS"), Column("REFRESH"), Column("USED"),
    Column("BOUND"),
)  # fmt: skip
_TOKEN = click.argument("token", default="-", metavar="[-]")
_FINGERPRINT = click.option("--fingerprint", metavar="TEXT", help="Of the client that the token is bound to.")


def _read(argument: str) -> str:
    if argument != "-":
        raise click.UsageError(
            "pass the token on stdin: on the command line others can read it", click.get_current_context()
        )
    return sys.stdin.read(1000).strip()


@click.group(cls=Group, examples=["sojourn token issue 0b0e7f", "sojourn token verify < token"])
def token() -> None:
    """Issue, verify, refresh, list and revoke tokens.

    A token is a proof, where a session's id is only a handle. Tokens come on stdin: on a command line others could read
    them.
    """


@token.command(
    output=Document("Tokens"),
    examples=["sojourn token issue 0b0e7f", "sojourn token issue 0b0e7f --access-ttl 5m --no-refresh"],
)
@ID
@click.option("--access-ttl", type=lifetime, metavar="DURATION", help="How long the access token is valid: 15m, 45s.")
@click.option("--refresh-ttl", type=lifetime, metavar="DURATION", help="How long the refresh token is: 14d, 12h.")
@click.option("--no-refresh", is_flag=True, help="An access token alone.")
@_FINGERPRINT
@pass_state
def issue(
    state: State, session_id: str, access_ttl: Lifetime | None, refresh_ttl: Lifetime | None, no_refresh: bool,
    fingerprint: str | None,
) -> None:  # fmt: skip
    """Issue tokens for a session, and print them.

    The access token, then the refresh token: this is the only time that they are shown.
    """
    from sojourn.facade import DEFAULT

    if no_refresh and refresh_ttl is not None:
        raise click.UsageError("--refresh-ttl does not go with --no-refresh", click.get_current_context())
    pair = state.store.tokens.issue(
        whole(state, session_id),
        access_ttl=DEFAULT if access_ttl is None else access_ttl.value,
        refresh_ttl=None if no_refresh else DEFAULT if refresh_ttl is None else refresh_ttl.value,
        fingerprint=fingerprint,
    )
    _tell_pair(state, pair)


def _tell_pair(state: State, pair: TokenPair) -> None:
    refresh_over = pair.refresh_expires_at
    told = {
        "access": pair.access, "access_expires_at": pair.access_expires_at.isoformat(),
        "refresh": pair.refresh, "refresh_expires_at": refresh_over and refresh_over.isoformat(),
    }  # fmt: skip
    tell(state, told, lambda: click.echo("\n".join(filter(None, (pair.access, pair.refresh)))))


@token.command(output=Document("Tokens"), examples=["sojourn token refresh < refresh-token"])
@_TOKEN
@_FINGERPRINT
@pass_state
def refresh(state: State, token: str, fingerprint: str | None) -> None:
    """Exchange a refresh token for a new pair, and print that.

    The access token, then the refresh token, as 'issue' does. The old ones end: whoever uses the old refresh token
    again revokes them all. The exit code is 1 where the token is not valid.
    """
    _tell_pair(state, state.store.tokens.refresh(_read(token), fingerprint=fingerprint))


@token.command(
    output=Document("Session"), examples=["sojourn token verify < token", "sojourn token verify - --json < token"]
)
@_TOKEN
@_FINGERPRINT
@pass_state
def verify(state: State, token: str, fingerprint: str | None) -> None:
    """Show the session that an access token opens.

    The exit code is 1 where it opens none.
    """
    show(state, state.store.tokens.verify(_read(token), fingerprint=fingerprint))


@token.command(
    output=Document("Revoked"),
    examples=[
        "sojourn token revoke < token",
        "sojourn token revoke --session 0b0e7f",
        "sojourn token revoke --owner ada --dry-run",
        "sojourn token revoke --owner ada --yes",
    ],
)
@_TOKEN
@click.option("--session", "session_id", metavar="ID", help="All tokens of this session instead.",
              shell_complete=completes_id)  # fmt: skip
@click.option("--owner", metavar="OWNER", help="All tokens of all sessions of this owner instead.")
@DRY_RUN
@YES
@pass_state
def revoke(state: State, token: str, session_id: str | None, owner: str | None, dry_run: bool, yes: bool) -> None:
    """Revoke a token with its family, or all of a session or owner.

    Prints how many could be used until now. With --owner it asks first, for that signs somebody out everywhere.
    """
    if session_id is not None and owner is not None:
        raise click.UsageError("--session and --owner do not go together", click.get_current_context())
    session_id = None if session_id is None else whole(state, session_id)
    if dry_run:
        _foresee(state, token, session_id, owner)
        return
    tokens = state.store.tokens
    if owner is not None:
        confirm(f"Revoke all tokens of all sessions of {owner}", yes=yes)
    if session_id is not None:
        count = tokens.revoke_session(session_id)
    elif owner is not None:
        count = tokens.revoke_owner(owner)
    else:
        count = tokens.revoke(_read(token))
    tell(state, {"revoked": count}, lambda: print_line([Cell(f"{count} {_tokens(count)} revoked")]))


def _tokens(count: int) -> str:
    return "token" if count == 1 else "tokens"


def _foresee(state: State, token: str, session_id: str | None, owner: str | None) -> None:
    from sojourn.tokens import outlook

    if session_id is not None:
        found = outlook.would_revoke_session(state.store, session_id)
    elif owner is not None:
        found = outlook.would_revoke_owner(state.store, owner)
    else:
        found = outlook.would_revoke(state.store, _read(token))
    told = (
        f"{found.revoked} {_tokens(found.revoked)} would be revoked, in {found.families} families of {found.sessions}"
    )
    sessions = "session" if found.sessions == 1 else "sessions"
    tell(state, found.to_json() | {"dry_run": True}, lambda: print_line([Cell(f"{told} {sessions}")]))
    hint("nothing was changed")


@token.command(name="list", output=Listing("families", "Family"), examples=["sojourn token list 0b0e7f"])
@ID
@pass_state
def list_(state: State, session_id: str) -> None:
    """List the families of a session's tokens, newest first.

    A family is all that descends from one issuing, a login say. Tokens themselves are kept nowhere.
    """
    families = state.store.tokens.list(whole(state, session_id))
    tell_list(state, "families", families, View(TokenFamily.to_json, _COLUMNS, _row), nothing="no tokens")


def _row(family: TokenFamily) -> list[Cell]:
    now = datetime.now(UTC)
    times = (family.issued_at, family.renewed_at, family.access_expires_at, family.refresh_expires_at)
    told = [Cell("-") if each is None else Cell(words.both(each, now), brief=words.ago(each, now)) for each in times]
    return [Cell(family.id), *told, Cell(shown(family.used)), Cell("yes" if family.bound else "no")]


@click.command(
    cls=Command, output=Document("Session"), examples=["sojourn rotate 0b0e7f", "sojourn rotate 0b0e7f --version 3"]
)
@ID
@VERSION
@pass_state
def rotate(state: State, session_id: str, version: int | None) -> None:
    """Give a session another id, and print that.

    The old id is no session's any more; the session's tokens end. Secrets are
    sealed anew, so their keys are needed.
    """
    session = state.store.rotate_id(whole(state, session_id), version=version)
    tell(state, session_json(session), lambda: click.echo(session.id))
