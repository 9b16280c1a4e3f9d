"""The schemas of what commands print as JSON: what programs may rely on.

Names and meanings stay; fields may be added. ``docs/reference/json.md`` is made of this, and a test holds the output of
each command against it. Times whose names end in ``_ms`` are milliseconds since the epoch, all others ISO 8601 in UTC;
durations whose names end in ``_s`` are seconds, those of a session's fields ISO 8601 (``PT30M``).
"""

from sojourn.cli.schemas.known import OPEN, SCHEMAS, adapter, fields_of, json_schema

__all__ = ["OPEN", "SCHEMAS", "adapter", "fields_of", "json_schema"]
