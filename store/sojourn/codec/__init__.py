"""Between a model's fields and the fields of its Redis hash.

One hash field per model field: scalars as plain text, times and durations as integer milliseconds in a field whose
name ends in ``_ms``, everything else as JSON. A field that is None is absent.
"""

from sojourn.codec.checks import check_indexed, check_log, quoted
from sojourn.codec.compiled import DOUBT
from sojourn.codec.declared import CORE_READ_ONLY
from sojourn.codec.entries import decode_entry, encode_entry
from sojourn.codec.fields import FieldCodec
from sojourn.codec.layouts import Layout
from sojourn.codec.record import Codec
from sojourn.codec.registry import Models, codec_for
from sojourn.codec.texts import datetime_from, ms_from
from sojourn.codec.writing import Changes

__all__ = [
    "CORE_READ_ONLY",
    "DOUBT",
    "Changes",
    "Codec",
    "FieldCodec",
    "Layout",
    "Models",
    "check_indexed",
    "check_log",
    "codec_for",
    "datetime_from",
    "decode_entry",
    "encode_entry",
    "ms_from",
    "quoted",
]
