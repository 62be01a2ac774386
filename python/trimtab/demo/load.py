"""Open-loop load: requests leave on their schedule however slow the answers are."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

import trimtab
from trimtab.demo.scenario import HERE, TROUBLE, Arrival, Trouble
from trimtab.httpx2 import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trimtab.demo.fleet import Fleet

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Policy:
    """One row of the table: a policy, and whether it prefers its own region."""

    name: str
    local: bool = False

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.name} + locality" if self.local else self.name


@dataclass(frozen=True)
class Answer:
    """How one request went: seconds from its scheduled start, and what went wrong, if anything."""

    arrival: Arrival
    latency: float
    error: str | None


async def run(
    fleet: Fleet,
    policy: Policy,
    schedule: Sequence[Arrival],
    *,
    seconds: float,
    log: Path,
    model: Path | None = None,
) -> tuple[list[Answer], dict[str, int]]:
    """Plays ``schedule`` through ``policy``; returns the answers and the counted fallbacks."""
    endpoints = {
        trimtab.Endpoint(
            r.address,
            id=r.replica.name,
            region=r.replica.region,
            labels={"archetype": r.replica.preset},
        ): r.replica.name
        for r in fleet.replicas
    }
    with trimtab.Balancer(
        endpoints,
        policy=policy.name,
        region=HERE if policy.local else None,
        model=model,
        log=log,
        explore=0.02,
        seed=1,
    ) as balancer:
        transport = AsyncTransport(balancer)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://model", timeout=TIMEOUT_SECONDS
        ) as client:
            start = asyncio.get_running_loop().time() + 0.2
            trouble = [asyncio.create_task(play(fleet, t, start, seconds)) for t in TROUBLE]
            answers = await asyncio.gather(*(send(client, a, start) for a in schedule))
            await asyncio.gather(*trouble)
        return answers, dict(balancer.fallbacks)


async def send(client: httpx2.AsyncClient, arrival: Arrival, start: float) -> Answer:
    """Sends one request when it is due."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(start + arrival.at - loop.time())
    kind = arrival.kind
    body = {
        "model": "mock",
        # About four characters a token; the number keeps prompts from sharing a cached prefix.
        "messages": [
            {"role": "user", "content": f"{arrival.number:08d}" * (kind.prompt_tokens // 2)}
        ],
        "max_tokens": kind.output_tokens,
    }
    error = None
    try:
        answer = await client.post(
            "/v1/chat/completions",
            json=body,
            extensions={"trimtab": {"request_class": kind.name}},
        )
        if answer.status_code != 200:
            error = f"status {answer.status_code}"
    except httpx2.HTTPError as failure:
        error = type(failure).__name__
    return Answer(arrival, loop.time() - start - arrival.at, error)


async def play(fleet: Fleet, trouble: Trouble, start: float, seconds: float) -> None:
    """Lets one piece of trouble happen and pass."""
    loop = asyncio.get_running_loop()
    replica = fleet[trouble.replica]
    await asyncio.sleep(start + trouble.start * seconds - loop.time())
    if trouble.kind == "dead":
        replica.kill()
    else:
        await replica.slow_down(trouble.factor)
    await asyncio.sleep(start + trouble.end * seconds - loop.time())
    if trouble.kind == "dead":
        replica.start()
        await replica.ready()
    else:
        with contextlib.suppress(OSError):
            await replica.slow_down(1.0)
