"""What is wrong with a deployment, why it matters, the command that mends it, and mending what is safe to mend.

Every check is one function in the file of its theme, and one entry in `CHECKS`, which also makes the reference in
``docs/reference/doctor.md``.
"""

from sojourn.doctor.checks import CHECKS
from sojourn.doctor.finding import Check, Finding, Severity
from sojourn.doctor.run import Mended, examine, mend

__all__ = ["CHECKS", "Check", "Finding", "Mended", "Severity", "examine", "mend"]
