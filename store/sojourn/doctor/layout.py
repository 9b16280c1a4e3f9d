"""How Redis is laid out: its version, its partitions, and keys that are not of the type that they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sojourn.doctor.finding import Finding, error, ok, redis_cli
from sojourn.doctor.look import Look
from sojourn.keys import ISOLATED, LAYOUT, META, TENANTS, partition_note

__all__ = ["keys", "layout", "partitions"]

_SHOWN: Final = 3
_AT_ONCE: Final = 1_000


def layout(look: Look) -> Iterator[Finding]:
    """Whether this Redis is laid out as the settings say."""
    (found,) = look.ask(("HMGET", META, "layout", "partitions"))
    ours = [str(LAYOUT), str(look.settings.partitions)]
    if found is None:
        yield error(
            f"{META} is not a hash: other hands wrote it", "remove it; the next client lays Redis out again",
            redis_cli("TYPE", META), redis_cli("RENAME", META, f"{META}-aside"),
        )  # fmt: skip
    elif found == ours:
        yield ok(f"layout {LAYOUT} with {ours[1]} partitions, as the settings say")
    elif found == [None, None] and look.ask(("EXISTS", TENANTS)) == [0]:
        yield ok("nothing is there yet: the first client lays it out")
    elif None in found:
        yield error(
            f"{META} does not say how this Redis is laid out, though there are sessions in it: the next client with "
            "other settings would lay it out anew, and not find them",
            "say again how many partitions there are, which the settings of its clients tell",
            redis_cli("HSET", META, "layout", str(LAYOUT), "partitions", ours[1]),
        )
    else:
        told = ", ".join(f"{name}={each}" for name, each in zip(("layout", "partitions"), found, strict=True))
        yield error(
            f"this Redis was laid out with {told}, but the settings say layout={ours[0]}, partitions={ours[1]}",
            "give all clients the same settings, or use another database of Redis", "sojourn config",
        )  # fmt: skip


def partitions(look: Look) -> Iterator[Finding]:
    """Whether tenants that have partitions of their own are told the same ones everywhere."""
    isolated = list(look.homes.isolated.items())[:_AT_ONCE]
    notes = look.ask(*(("GET", partition_note(tenant)) for tenant, _ in isolated))
    wrong = [
        tenant
        for (tenant, number), note in zip(isolated, notes, strict=True)
        if note is None or str(note).split(" ")[0] != str(number)
    ]
    twice = len(isolated) - len({number for _, number in isolated})
    if wrong:
        yield error(
            f"the notes of {len(wrong)} tenants do not name the partition that {ISOLATED} gives them: "
            + ", ".join(sorted(wrong)[:_SHOWN]),
            "have them written again",
            *(f"sojourn tenant isolate {each}" for each in sorted(wrong)[:_SHOWN]),
        )
    if twice:
        yield error(
            f"{twice} tenants share a partition that should be of one alone",
            "see which",
            redis_cli("HGETALL", ISOLATED),
        )
    if not (wrong or twice):
        yield ok(
            f"{len(isolated)} tenants have partitions of their own" if isolated else "all tenants share partitions"
        )


def keys(look: Look) -> Iterator[Finding]:
    """Keys of another type than they should be."""
    odd = look.metrics.odd_keys
    for key in odd:
        yield error(
            f"the key {key} is not of the type that it should be",
            "see what it is, and delete or rename it", redis_cli("TYPE", key),
        )  # fmt: skip
    if not odd:
        yield ok("every key that the deployment shares is of its type")
