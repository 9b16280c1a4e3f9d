"""``sojourn acl``: the Redis user that is confined to one tenant."""

from __future__ import annotations

import sys

import click

from sojourn.cli.completing import completes_tenant
from sojourn.cli.output import hint, plain
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell

__all__ = ["acl"]


@click.command(
    cls=Command,
    output=Document("Confinement"),
    examples=["sojourn acl acme", "sojourn acl acme --apply", "sojourn acl acme --apply --password-stdin < password"],
)
@click.argument("name", metavar="TENANT", shell_complete=completes_tenant)
@click.option("--user", metavar="NAME", help="The user's name; by default sojourn-TENANT.")
@click.option("--apply", is_flag=True, help="Set the user, and give the tenant its own partition if it has none.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin, instead of making one.")
@click.option("--rewrite", is_flag=True, help="Have Redis keep the user in its configuration file.")
@click.option("--caches", is_flag=True, help="Allow near caches, and with them to see the names of others' keys.")
@pass_state
def acl(
    state: State, name: str, user: str | None, apply: bool, password_stdin: bool, rewrite: bool, caches: bool
) -> None:
    """Print the rule that confines a Redis user to a tenant.

    To its keys, and to the commands that clients need. With --apply the user is set. A password that was made for it is
    printed once; Redis keeps its SHA-256 only.
    """
    from sojourn import tenants

    if not apply:
        if password_stdin or rewrite:
            raise click.UsageError("--password-stdin and --rewrite go with --apply", click.get_current_context())
        found = tenants.confinement(state.settings, name, user=user, caches=caches)
        tell(state, found.to_json(), lambda: click.echo(plain(found.command)))
        if found.partition is None:
            hint(
                f"tenant '{name}' shares a partition with others, which no rule can tell apart: 'sojourn acl {name} "
                "--apply' gives it one of its own, moves its sessions there, and sets the user"
            )
        _warn(found.weakened)
        return
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else tenants.new_password()
    done = tenants.confine(
        state.settings, name, user=user, password=password, actor=state.acting.actor, rewrite=rewrite, caches=caches
    )
    made = {} if password_stdin else {"password": password}

    def people() -> None:
        click.echo(plain(done.command))
        click.echo(f"user: {done.user}")
        if made:
            click.echo(f"password: {password}")
            hint("the password is shown this once")

    tell(state, done.to_json() | made, people)
    _warn(done.weakened)
    if done.persisted is None:
        hint("a restart of Redis forgets this user: set aclfile in its configuration, or add --rewrite")


def _warn(weakened: tuple[str, ...]) -> None:
    for each in weakened:
        hint(f"note: {each}")
