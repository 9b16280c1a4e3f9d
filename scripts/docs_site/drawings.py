"""Mermaid blocks become SVG when the site is built, so that no script has to be fetched to see them.

Where there is no wheel of the renderer, the block stays as it is, and the reader's browser draws it.
"""

from __future__ import annotations

import hashlib
import html
import json
from typing import Any

try:
    import merman
except ImportError:  # no wheel for this machine
    merman = None

__all__ = ["draw", "fence"]


def draw(source: str) -> str | None:
    """The drawing as an ``<svg>`` element; None where there is no renderer on this machine.

    Raises:
        ValueError: the source is not good Mermaid.
    """
    if merman is None:
        return None
    name = f"drawing-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    try:
        svg: str = merman.Merman().render_svg(source, json.dumps({"svg": {"diagram_id": name}}))
    except merman.MermanError as error:
        raise ValueError(f"not a Mermaid drawing: {getattr(error, 'message', error)}\n{source}") from error
    return svg


def fence(source: str, _language: str, _class: str, _options: Any, _md: Any, **_: Any) -> str:
    """What superfences puts in the place of a block."""
    svg = draw(source)
    if svg is None:
        return f'<pre class="mermaid"><code>{html.escape(source)}</code></pre>'
    return f'<div class="drawing">{svg}</div>'
