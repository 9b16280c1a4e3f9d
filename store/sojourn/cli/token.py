"""``sojourn token`` and ``sojourn rotate``. Tokens come on stdin, for others can read a command line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Final

import click

from sojourn.cli import words
from sojourn.cli.output import Cell, Column, print_json, print_line, print_table
from sojourn.cli.pages import show
from sojourn.cli.parameters import Lifetime, lifetime
from sojourn.cli.shared import Command, Group, State, pass_state
from sojourn.cli.tables import shown

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


@click.group(cls=Group, examples=["sojourn token issue ID", "sojourn token verify < token"])
def token() -> None:
    """Issue, verify, list and revoke tokens: proofs, where a session's id is only a handle."""


@token.command(cls=Command, examples=["sojourn token issue ID", "sojourn token issue ID --access-ttl 5m --no-refresh"])
@click.argument("session_id", metavar="ID")
@click.option("--access-ttl", type=lifetime, metavar="TIME", help="How long the access token is valid: 15m, 45s.")
@click.option("--refresh-ttl", type=lifetime, metavar="TIME", help="How long the refresh token is: 14d, 12h.")
@click.option("--no-refresh", is_flag=True, help="An access token alone.")
@_FINGERPRINT
@pass_state
def issue(
    state: State, session_id: str, access_ttl: Lifetime | None, refresh_ttl: Lifetime | None, no_refresh: bool,
    fingerprint: str | None,
) -> None:  # fmt: skip
    """Issue tokens for a session, and print them: the access token, then the refresh token."""
    from sojourn.facade import DEFAULT

    if no_refresh and refresh_ttl is not None:
        raise click.UsageError("--refresh-ttl does not go with --no-refresh", click.get_current_context())
    pair = state.store.tokens.issue(
        session_id,
        access_ttl=DEFAULT if access_ttl is None else access_ttl.value,
        refresh_ttl=None if no_refresh else DEFAULT if refresh_ttl is None else refresh_ttl.value,
        fingerprint=fingerprint,
    )
    if state.as_json:
        refresh_over = pair.refresh_expires_at
        print_json(
            {
                "access": pair.access, "access_expires_at": pair.access_expires_at.isoformat(),
                "refresh": pair.refresh, "refresh_expires_at": refresh_over and refresh_over.isoformat(),
            }
        )  # fmt: skip
        return
    for each in (pair.access, pair.refresh):
        if each is not None:
            click.echo(each)


@token.command(cls=Command, examples=["sojourn token verify < token", "sojourn token verify - --json < token"])
@_TOKEN
@_FINGERPRINT
@pass_state
def verify(state: State, token: str, fingerprint: str | None) -> None:
    """Show the session that an access token opens. Exit code 1: it opens none."""
    show(state, state.store.tokens.verify(_read(token), fingerprint=fingerprint))


@token.command(
    cls=Command,
    examples=["sojourn token revoke < token", "sojourn token revoke --session ID", "sojourn token revoke --owner ada"],
)
@_TOKEN
@click.option("--session", "session_id", metavar="ID", help="All tokens of this session instead.")
@click.option("--owner", metavar="OWNER", help="All tokens of all sessions of this owner instead.")
@pass_state
def revoke(state: State, token: str, session_id: str | None, owner: str | None) -> None:
    """Revoke a token with its family, or all of a session, or of an owner; prints how many could be used until now."""
    if session_id is not None and owner is not None:
        raise click.UsageError("--session and --owner do not go together", click.get_current_context())
    tokens = state.store.tokens
    if session_id is not None:
        count = tokens.revoke_session(session_id)
    elif owner is not None:
        count = tokens.revoke_owner(owner)
    else:
        count = tokens.revoke(_read(token))
    if state.as_json:
        print_json({"revoked": count})
    else:
        print_line([Cell(f"{count} {'token' if count == 1 else 'tokens'} revoked")])


@token.command(cls=Command, name="list", examples=["sojourn token list ID"])
@click.argument("session_id", metavar="ID")
@pass_state
def list_(state: State, session_id: str) -> None:
    """List the families of a session's tokens, newest first; never a token."""
    families = state.store.tokens.list(session_id)
    if state.as_json:
        for each in families:
            print_json(each.to_json(), lines=True)
        return
    now = datetime.now(UTC)

    def told(moment: datetime | None) -> str:
        return "-" if moment is None else words.ago(moment, now)

    print_table(
        _COLUMNS,
        (
            [Cell(text) for text in (
                each.id, told(each.issued_at), told(each.renewed_at), told(each.access_expires_at),
                told(each.refresh_expires_at), shown(each.used), shown(each.bound),
            )]
            for each in families
        ),
    )  # fmt: skip


@click.command(cls=Command, examples=["sojourn rotate ID", "sojourn rotate ID --version 3"])
@click.argument("session_id", metavar="ID")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Only if it still has this version.")
@pass_state
def rotate(state: State, session_id: str, version: int | None) -> None:
    """Give a session another id, and print that. The old id is no session's any more; its tokens end."""
    session = state.store.rotate_id(session_id, version=version)
    if state.as_json:
        print_json(session.model_dump(mode="json"))
    else:
        click.echo(session.id)
