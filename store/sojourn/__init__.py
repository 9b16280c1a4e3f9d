"""Sojourn: a Redis-native session manager for services and agents.

Example:
    >>> from sojourn import SessionStore
    >>> SessionStore("redis://127.0.0.1:6379/0").tenant
    'default'

"""

from sojourn import errors
from sojourn.aio import AsyncSessionStore
from sojourn.cache import Cache, CacheInfo
from sojourn.cleanup import CleanupFailure, CleanupReport, CleanupScheduler, DueReport
from sojourn.client import SessionStore
from sojourn.counts import Histogram
from sojourn.errors import *  # noqa: F403
from sojourn.events import Event
from sojourn.limits import INFINITE, Limits
from sojourn.mcp import AsyncMcpCalls, McpCalls
from sojourn.metrics.tenant import LabelCounts, TenantMetrics
from sojourn.models import (
    ClientInfo,
    Counter,
    DocumentationSession,
    ExecutionMetrics,
    Indexed,
    Log,
    McpMetrics,
    McpSession,
    Note,
    Progress,
    Session,
    Status,
    ToolExecution,
    Within,
)
from sojourn.operations.flows import Draft
from sojourn.operations.listing import Page
from sojourn.operations.read import LogPage
from sojourn.peek import EventPage
from sojourn.quotas import Rate, TenantLimits, Usage
from sojourn.settings import ArchiveRetention, HookSettings, Settings, load_settings
from sojourn.tokens import TOKEN_PATTERN, TokenFamily, TokenPair, is_token
from sojourn.tokens.aio import AsyncTokens
from sojourn.tokens.client import Tokens

__all__ = [
    "INFINITE",
    "TOKEN_PATTERN",
    "ArchiveRetention",
    "AsyncMcpCalls",
    "AsyncSessionStore",
    "AsyncTokens",
    "Cache",
    "CacheInfo",
    "CleanupFailure",
    "CleanupReport",
    "CleanupScheduler",
    "ClientInfo",
    "Counter",
    "DocumentationSession",
    "Draft",
    "DueReport",
    "Event",
    "EventPage",
    "ExecutionMetrics",
    "Histogram",
    "HookSettings",
    "Indexed",
    "LabelCounts",
    "Limits",
    "Log",
    "LogPage",
    "McpCalls",
    "McpMetrics",
    "McpSession",
    "Note",
    "Page",
    "Progress",
    "Rate",
    "Session",
    "SessionStore",
    "Settings",
    "Status",
    "TenantLimits",
    "TenantMetrics",
    "TokenFamily",
    "TokenPair",
    "Tokens",
    "ToolExecution",
    "Usage",
    "Within",
    "is_token",
    "load_settings",
]
__all__ += errors.__all__
