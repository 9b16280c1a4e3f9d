"""All settings, in one place: arguments over environment (``SOJOURN_*``) over ``sojourn.yaml`` over defaults."""

from sojourn.settings.files import config_file
from sojourn.settings.loading import load_settings
from sojourn.settings.masking import masked
from sojourn.settings.model import Settings
from sojourn.settings.names import resolve, resolve_hook
from sojourn.settings.origins import Origin, origins
from sojourn.settings.parts import ArchiveRetention, EventType, HookSettings, Seconds

__all__ = [
    "ArchiveRetention",
    "EventType",
    "HookSettings",
    "Origin",
    "Seconds",
    "Settings",
    "config_file",
    "load_settings",
    "masked",
    "origins",
    "resolve",
    "resolve_hook",
]
