"""``sojourn completion``."""

from __future__ import annotations

from typing import Final

import click

from sojourn.cli.shapes import Text
from sojourn.cli.shared import Command

__all__ = ["completion"]

_VARIABLE: Final = "_SOJOURN_COMPLETE"
"""What the shell sets when it asks; click looks at it."""


@click.command(
    cls=Command,
    output=Text("a script for the shell"),
    examples=[
        'eval "$(sojourn completion bash)"',
        "sojourn completion zsh > ~/.zfunc/_sojourn",
        "sojourn completion fish > ~/.config/fish/completions/sojourn.fish",
    ],
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")), metavar="SHELL")
def completion(shell: str) -> None:
    """Print the script by which a shell completes this command.

    SHELL is bash, zsh or fish. Commands, options and their choices are completed, and kinds, tenants, hooks, groups and
    ids of sessions as Redis has them. For bash add the first example to ~/.bashrc; for zsh let a folder of $fpath hold
    the script; fish finds it where the third example puts it.
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    class AnyBash(BashComplete):
        """Without a look at the bash of this machine: the script may be for another."""

        @staticmethod
        def _check_version() -> None:
            return

    makers = {"bash": AnyBash, "zsh": ZshComplete, "fish": FishComplete}
    root = click.get_current_context().find_root().command
    click.echo(makers[shell](root, {}, "sojourn", _VARIABLE).source())
