"""``sojourn top``: what is read becomes rows (`model`), rows become lines (`view`), keys change how (`look`)."""

from sojourn.cli.top.command import top

__all__ = ["top"]
