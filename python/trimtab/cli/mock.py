"""``trimtab mock``: one mock inference server until Ctrl-C."""

from __future__ import annotations

import argparse

from trimtab import _trimtab
from trimtab.errors import TrimtabError

HELP = "Run a mock inference server: OpenAI-compatible over HTTP, and gRPC, on one port."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--port", type=_port, default=8000, help="0 takes any that is free")
    parser.add_argument("--host", default="127.0.0.1", metavar="IP", help="address to listen on")
    parser.add_argument(
        "--preset",
        default="mid",
        metavar="NAME",
        help="the hardware to imitate: mid, llama2-70b-h100, llama2-70b-a100, prefill-fast or "
        "decode-fast (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="seed of the timing noise"
    )
    parser.add_argument(
        "--network-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="network round trip to imitate, in milliseconds",
    )
    parser.add_argument("--model", default="mock", metavar="NAME", help="name in /v1/models")
    parser.add_argument(
        "--max-waiting", type=int, default=1024, metavar="N", help="queued requests before 429"
    )
    parser.add_argument(
        "--faults",
        default="{}",
        metavar="JSON",
        help="faults from the start, such as '{\"error_rate\": 0.1}'; POST /faults changes them",
    )


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C or the exit fault; 1 after the exit fault."""
    try:
        exited = _trimtab.run_mock(
            args.host,
            args.port,
            args.preset,
            seed=args.seed,
            network_ms=args.network_ms,
            model_name=args.model,
            max_waiting=args.max_waiting,
            faults=args.faults,
            on_ready=lambda url: print(f"{args.preset} on {url}", flush=True),
        )
    except OSError as error:  # such as a port in use
        raise TrimtabError(str(error)) from error
    return int(exited)


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**64:
        raise argparse.ArgumentTypeError(f"a seed must lie in 0 to 2^64 - 1, not {text}")
    return seed


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port must lie in 0 to 65535, not {text}")
    return port
