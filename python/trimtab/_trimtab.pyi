"""The extension module of the package ``trimtab``. Import from ``trimtab`` instead."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from types import GenericAlias, TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypedDict, final

from typing_extensions import TypeVar, Unpack

_T = TypeVar("_T", default=Any)
_T_co = TypeVar("_T_co", covariant=True, default=Any)
_Place: TypeAlias = str | Endpoint
_Model: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview
_Array: TypeAlias = Any  # a C-contiguous buffer
_Load: TypeAlias = Mapping[str, float | Mapping[str, float]]

__all__ = [
    "MODEL_LIMIT",
    "POLICIES",
    "Balancer",
    "Counters",
    "Endpoint",
    "EndpointStats",
    "Evaluator",
    "Lease",
    "RetryBudget",
    "RoutingEnvs",
    "ScenarioFromLogs",
    "Trainer",
    "__version__",
    "describe_model",
    "run_mock",
    "simulate",
]

__version__: Final[str]
POLICIES: Final[tuple[str, ...]]

class _Details(TypedDict, total=False):
    status: int | None
    retry_after: float | None
    server_processing: float | None
    server_queue: float | None
    load: _Load | None
    bytes: int | None
    tokens: int | None

@final
class Endpoint:
    def __new__(
        cls,
        address: str,
        *,
        id: str | None = None,  # noqa: A002
        weight: float = 1.0,
        region: str = "",
        zone: str = "",
        latitude: float | None = None,
        longitude: float | None = None,
        cost: float = 0.0,
        labels: Mapping[str, str] | None = None,
    ) -> Self: ...
    @property
    def address(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def region(self) -> str: ...
    @property
    def zone(self) -> str: ...
    @property
    def latitude(self) -> float | None: ...
    @property
    def longitude(self) -> float | None: ...
    @property
    def cost(self) -> float: ...
    @property
    def labels(self) -> dict[str, str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...

class _Ready(Generic[_T_co]):
    def __await__(self) -> Generator[Any, None, _T_co]: ...

@final
class Lease(Generic[_T_co]):
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...  # noqa: ANN401
    @property
    def address(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def value(self) -> _T_co: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def ended(self) -> bool: ...
    def first_byte(self) -> None: ...
    def success(
        self,
        *,
        status: int | None = None,
        server_processing: float | None = None,
        server_queue: float | None = None,
        load: _Load | None = None,
        bytes: int | None = None,  # noqa: A002
        tokens: int | None = None,
    ) -> bool: ...
    def fail(
        self,
        kind: Literal["connect", "reset", "timeout", "status"] = "status",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        load: _Load | None = None,
    ) -> bool: ...
    def finish(
        self,
        verdict: int = 0,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        server_processing: float | None = None,
        server_queue: float | None = None,
        load: _Load | None = None,
        bytes: int | None = None,  # noqa: A002
        tokens: int | None = None,
    ) -> bool: ...
    def ignore(self) -> bool: ...
    def cancel(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        exception: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __aenter__(self) -> _Ready[Self]: ...
    def __aexit__(
        self,
        _kind: type[BaseException] | None,
        exception: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> _Ready[None]: ...

@final
class EndpointStats:
    @property
    def id(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def value(self) -> Any: ...  # noqa: ANN401
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def successes(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def cancelled(self) -> int: ...
    @property
    def success_rate(self) -> float | None: ...
    @property
    def mean_latency(self) -> float | None: ...
    @property
    def peak_latency(self) -> float | None: ...
    @property
    def queue_delay(self) -> float: ...
    @property
    def up(self) -> bool: ...
    @property
    def draining(self) -> bool: ...
    @property
    def weight(self) -> float: ...
    @property
    def region(self) -> str: ...
    @property
    def zone(self) -> str: ...

@final
class Counters:
    @property
    def ejections(self) -> int: ...
    @property
    def returns(self) -> int: ...
    @property
    def fail_open(self) -> int: ...
    @property
    def fallbacks(self) -> dict[str, int]: ...
    @property
    def log_written(self) -> int: ...
    @property
    def log_dropped(self) -> int: ...

@final
class RetryBudget:
    def __new__(cls, ratio: float = 0.2, per_second: float = 10.0, cap: float = 100.0) -> Self: ...
    def deposit(self) -> None: ...
    def withdraw(self) -> bool: ...

@final
class Balancer(Generic[_T]):
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...  # noqa: ANN401
    def __new__(
        cls,
        endpoints: Iterable[_Place] | Mapping[_Place, _T] | Mapping[str, _T],
        *,
        policy: str = "peak_ewma",
        region: str | None = None,
        geo: tuple[float, float] | None = None,
        model: _Model | None = None,
        model_max_age: float | None = None,
        seed: int | None = None,
        log: str | os.PathLike[str] | None = None,
        log_sample: float = 1.0,
        log_capacity: int = 65536,
        log_client: str | None = None,
        explore: float = 0.0,
        archetype_labels: Iterable[str] | None = None,
        decay: float = 10.0,
        failure_penalty: float = 5.0,
        consecutive_failures: int = 5,
        base_ejection: float = 5.0,
        max_ejection: float = 300.0,
        base_reconnect: float = 0.1,
        max_reconnect: float = 10.0,
        max_ejected: float = 0.5,
    ) -> Self: ...
    def pick(
        self,
        *,
        key: str | bytes | int | None = None,
        request_class: str | None = None,
        tried: Iterable[str] | None = None,
        region: str | None = None,
        deadline: float | None = None,
        event: int = 0,
    ) -> Lease[_T]: ...
    def begin(
        self,
        key: str | bytes | int | None = None,
        request_class: str | None = None,
        tried: Iterable[str] | None = None,
        *,
        event: int = 0,
    ) -> int: ...
    def address_of(self, token: int) -> str: ...
    def id_of(self, token: int) -> str: ...
    def value_of(self, token: int) -> _T: ...
    def first_byte(self, token: int) -> None: ...
    def end(self, token: int, verdict: int = 0, /, **details: Unpack[_Details]) -> None: ...
    @property
    def endpoints(self) -> list[EndpointStats]: ...
    def update(
        self, endpoints: Iterable[_Place] | Mapping[_Place, _T] | Mapping[str, _T]
    ) -> None: ...
    def add(self, endpoint: _Place, value: _T | None = None) -> None: ...
    def remove(self, id: _Place) -> None: ...  # noqa: A002
    def drain(self, id: _Place) -> None: ...  # noqa: A002
    def record_round_trip(self, id: _Place, seconds: float) -> None: ...  # noqa: A002
    def set_model(self, model: _Model) -> None: ...
    @property
    def policy(self) -> str: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def fallbacks(self) -> dict[str, int]: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exception: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __len__(self) -> int: ...

def run_mock(
    host: str,
    port: int,
    preset: str,
    *,
    seed: int,
    network_ms: float,
    model_name: str,
    max_waiting: int,
    faults: str,
    on_ready: Callable[[str], object],
) -> bool: ...

MODEL_LIMIT: Final[int]

@final
class Trainer:
    def __new__(cls) -> Self: ...
    def open(self, file: str) -> None: ...
    def push(self, chunk: bytes | bytearray) -> None: ...
    def close(self) -> None: ...
    def fold(self, file: str, row: int, rows: Mapping[str, Any]) -> None: ...
    def span(self, first: float, last: float) -> None: ...
    def merge(self, other: Trainer) -> None: ...
    @property
    def rows(self) -> int: ...
    @property
    def wrong(self) -> int: ...
    @property
    def wrong_rows(self) -> list[str]: ...
    def fit(
        self,
        *,
        min_rows: int = 30,
        archetype_labels: list[str] | None = None,
        tolerance: float = 0.25,
        note: str = "",
    ) -> tuple[bytes, str]: ...

@final
class Evaluator:
    def __new__(cls, model: bytes | bytearray) -> Self: ...
    def open(self, file: str) -> None: ...
    def push(self, chunk: bytes | bytearray) -> None: ...
    def close(self) -> None: ...
    def fold(
        self, file: str, row: int, rows: Mapping[str, Any], candidates: Mapping[str, Any]
    ) -> None: ...
    @property
    def wrong_rows(self) -> list[str]: ...
    def verdict(self) -> str: ...

@final
class ScenarioFromLogs:
    def __new__(cls) -> Self: ...
    def open(self, file: str) -> None: ...
    def push(self, chunk: bytes | bytearray) -> None: ...
    def close(self) -> None: ...
    @property
    def wrong(self) -> int: ...
    @property
    def wrong_rows(self) -> list[str]: ...
    def write(self, folder: str | os.PathLike[str]) -> os.PathLike[str]: ...

def describe_model(model: bytes | bytearray) -> str: ...
def simulate(
    toml: str,
    file: str,
    *,
    policies: str | None,
    loads: list[float] | None,
    seeds: list[int],
    threads: int | None,
    progress: Callable[[int, int], object] | None,
) -> str: ...

@final
class RoutingEnvs:
    def __new__(
        cls,
        toml: str,
        file: str,
        *,
        num_envs: int,
        loads: list[float],
        weights: tuple[float, float, float],
        time_scale: float,
        max_steps: int | None,
    ) -> Self: ...
    @property
    def servers(self) -> list[str]: ...
    @property
    def features(self) -> list[tuple[str, float, float]]: ...
    def reset(
        self, resets: _Array, seeds: _Array, observations: _Array, masks: _Array, times: _Array
    ) -> None: ...
    def step(
        self,
        actions: _Array,
        resets: _Array,
        seeds: _Array,
        observations: _Array,
        masks: _Array,
        floats: _Array,
        integers: _Array,
        truncated: _Array,
    ) -> None: ...
    def held(self, env: int) -> list[int]: ...
