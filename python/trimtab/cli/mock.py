"""``trimtab mock``: one mock inference server until Ctrl-C."""

from __future__ import annotations

import argparse

from trimtab import _trimtab
from trimtab.cli._numbers import in_range
from trimtab.errors import TrimtabError

HELP = "Run a mock inference server: OpenAI-compatible over HTTP, and gRPC, on one port."


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--port", type=in_range(0, 65535), default=8000, help="0 takes any that is free"
    )
    parser.add_argument("--host", default="127.0.0.1", metavar="IP", help="address to listen on")
    parser.add_argument(
        "--preset",
        default="mid",
        metavar="NAME",
        help="the hardware to imitate: mid, llama2-70b-h100, llama2-70b-a100, prefill-fast or "
        "decode-fast (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=in_range(0, 2**64 - 1),
        default=0,
        metavar="N",
        help="seed of the timing noise",
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
        "--max-waiting",
        type=in_range(1, 10**6),
        default=1024,
        metavar="N",
        help="queued requests before 429",
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
        raise TrimtabError(error.strerror or str(error)) from error
    return int(exited)
