"""`scripts/bench --scale`: crowds of two sizes are filled, measured in turn, and drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

import bench_scale
import scale_picture
from bench_registry import Bench


@pytest.mark.timeout(600)
def test_a_crowd_is_measured_against_the_fewest(
    any_redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind of work has a row per size, and is in the picture; what a round made is gone after it."""
    monkeypatch.setattr(bench_scale, "FEWEST", 200)
    monkeypatch.setattr(bench_scale, "CALLS", 50)
    monkeypatch.setattr(bench_scale, "PAGES", 1)
    picture = tmp_path / "scale.svg"
    options = argparse.Namespace(redis=None, largest=2_000, scale_picture=str(picture))
    found = bench_scale.run(Bench(any_redis_url, 1, 1, options))
    assert [row.against for row in found.rows] == ["the same among 200"] * 2 * len(bench_scale.AIMS)
    assert all(row.measured > 0 for row in found.rows)
    assert set(found.detail) == set(bench_scale.AIMS)
    assert all(set(by_size) == {200, 2_000} for by_size in found.detail.values())
    assert picture.read_text().startswith("<?xml")


def test_sessions_are_found_alike_at_every_size() -> None:
    """A fourth of them, by the tag and the field that are listed; as many of each owner."""
    made = [bench_scale.fields(number) for number in range(800)]
    assert sum("one" in each["tags"] and each["region"] == "eu-west-1" for each in made) == 200
    assert sum(each["owner"] == "owner-1" for each in made) == bench_scale.OWNED


def test_the_same_costs_are_the_same_picture(tmp_path: Path) -> None:
    """It has no date, and every kind of work has its line."""
    costs = {"get": {1_000: 1.0, 10_000: 1.1}, "list": {1_000: 1.0, 10_000: 1.4}}
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    scale_picture.draw(costs, first)
    scale_picture.draw(costs, second)
    assert first.read_text() == second.read_text()
    assert first.read_text().count("<!-- get -->") == 1
