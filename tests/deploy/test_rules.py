"""The alerts: right for Prometheus, each tried both ways, each with a paragraph that says what to do."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from tests.deploy_files import DEPLOY, RULES, load, program

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in load(RULES)["groups"] for rule in group["rules"]
}  # fmt: skip
GUIDE = DEPLOY.parent / "docs" / "guides" / "alerts.md"


def _promtool(*arguments: str) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments], cwd=RULES.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_finds_nothing_wrong() -> None:
    """`promtool check rules`, and `check config` of the file that loads them."""
    _promtool("check", "rules", RULES.name)
    _promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_and_is_quiet_as_it_should() -> None:
    """`promtool test rules`."""
    _promtool("test", "rules", "sojourn.tests.yml")


def test_every_alert_is_tried_both_ways() -> None:
    """In `sojourn.tests.yml`."""
    tried = [each for test in load(RULES.with_name("sojourn.tests.yml"))["tests"] for each in test["alert_rule_test"]]
    assert {each["alertname"] for each in tried if each["exp_alerts"]} == set(ALERTS)
    assert {each["alertname"] for each in tried if not each["exp_alerts"]} == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_means_and_what_to_do(alert: str) -> None:
    """A severity, texts, and a heading of the guide; and it takes several workers that tell the same for one."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/guides/alerts.md#{alert.lower()}"
    section = re.search(rf"^### {alert}$\n\n(Critical|Warning): (?:.|\n)*?(?=^##|\Z)", GUIDE.read_text(), re.MULTILINE)
    assert section is not None
    assert section[1].lower() == rule["labels"]["severity"]
    outside = re.sub(r"\bmax by \(job[a-z_, ]*\) \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", rule["expr"])
    assert "sojourn_" not in outside


def test_the_guide_tells_of_no_other_alerts() -> None:
    """Every heading of its third level is one."""
    assert set(re.findall(r"^### (.+)$", GUIDE.read_text(), re.MULTILINE)) == set(ALERTS)
