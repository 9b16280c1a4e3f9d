"""Keys of secret fields, and moving what is sealed under old ones to the newest.

`new_key` makes a key for the setting ``secret_keys``. Once every process has it, `reseal` moves what is in Redis and in
the archive to it; when `status` shows nothing left under the old key, that can go.

Example:
    >>> from sojourn.secrets import reseal  # doctest: +SKIP
    >>> reseal(load_settings()).is_complete  # doctest: +SKIP
    True

"""

from sojourn.sealing import new_key
from sojourn.secrets.report import Counts, ResealReport, Stuck
from sojourn.secrets.reseal import reseal, status

__all__ = ["Counts", "ResealReport", "Stuck", "new_key", "reseal", "status"]
