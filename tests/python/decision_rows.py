"""Decision log rows of a uniformly random policy over four endpoints of two kinds."""

import json
import random

CLASSES = {"short": {"x": 10.0, "y": 40.0}, "long": {"x": 40.0, "y": 10.0}}
ENDPOINTS = {f"s{i}": "xy"[i % 2] for i in range(4)}


def candidate(endpoint, rng):
    return {
        "endpoint": endpoint,
        "archetype": f"archetype={ENDPOINTS[endpoint]}",
        "zone": None,
        "in_flight": rng.randrange(3),
        "queue_delay_ms": 0.0,
        "error_rate": None,
        "peak_ms": 20.0,
        "load": None,
        "load_age_ms": None,
        "eligible": True,
        "score": None,
        "propensity": 0.25,
    }


def row(sequence, rng, **change):
    """A decision that a uniformly random policy made."""
    chosen = rng.choice(list(ENDPOINTS))
    request_class = rng.choice(list(CLASSES))
    service = CLASSES[request_class][ENDPOINTS[chosen]] * rng.uniform(0.9, 1.1)
    candidates = [candidate(endpoint, rng) for endpoint in ENDPOINTS]
    ahead = next(c["in_flight"] for c in candidates if c["endpoint"] == chosen)
    return {
        "v": 1,
        "event": 2**64 - 1 - sequence,
        "attempt": 0,
        "kind": "first",
        "client": "c",
        "sequence": sequence,
        "ts": 1.7e9 + sequence,
        "sample_weight": 1.0,
        "class": request_class,
        "region": None,
        "deadline_ms": None,
        "key": 2**63 + sequence,
        "fleet": 4,
        "eligible": 4,
        "candidates": candidates,
        "chosen": chosen,
        "archetype": f"archetype={ENDPOINTS[chosen]}",
        "in_flight": ahead,
        "propensity": 0.25,
        "explored": False,
        "mode": "policy",
        "fallback_reason": None,
        "policy": "random",
        "model": None,
        "epsilon": 0.0,
        "latency_ms": service * (1 + ahead),
        "first_byte_ms": None,
        "server_ms": service,
        "queue_ms": None,
        "status": "ok",
        "code": 200,
        "censored": None,
        "bytes": None,
        "tokens": None,
        "cost": None,
    } | change


def rows(count=2000, seed=1):
    rng = random.Random(seed)
    made = [row(n, rng) for n in range(count)]
    made[5] |= {"status": "timeout", "censored": "timeout", "server_ms": None}
    made[6] |= {"status": "connect", "code": None, "server_ms": None}
    made[7] |= {"class": None}
    made[8] |= {"archetype": None}
    return made


def write(path, made):
    path.write_text("".join(json.dumps(r) + "\n" for r in made))
    return path
