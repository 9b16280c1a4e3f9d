"""One session taken apart: every key, row and job that belongs to it, and what is not as it should be."""

from sojourn.inspection.inspecting import inspect
from sojourn.inspection.model import Inspection, Item, State

__all__ = ["Inspection", "Item", "State", "inspect"]
