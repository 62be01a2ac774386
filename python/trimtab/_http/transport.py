"""The transports, but for their library's base classes."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from trimtab._classify import classify, is_failure
from trimtab._http.attempts import Attempts
from trimtab._http.outgoing import Outgoing, copied
from trimtab._http.route import RouteOf
from trimtab._http.target import AddressError, Targets
from trimtab._trimtab import Balancer, Lease, RetryBudget
from trimtab._verdict import Verdict
from trimtab.errors import NoEndpoints

# As openai has it: httpx's own default keeps 20 idle connections, which starves a busy client.
MAX_CONNECTIONS = 1000
MAX_KEEPALIVE_CONNECTIONS = 100


_Inner = TypeVar("_Inner")
_Limits = TypeVar("_Limits")


class _Transport(Generic[_Inner, _Limits]):
    """What the sync and the async transport share, over the library's classes of these two."""

    _lib: ClassVar[Any]
    _own: ClassVar[Any]
    _body: ClassVar[Any]

    def __init__(
        self,
        balancer: Balancer[Any],
        *,
        transport: _Inner | None = None,
        route: RouteOf | None = None,
        load_reports: bool = False,
        retry_budget: RetryBudget | None = None,
        limits: _Limits | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Send by ``balancer``.

        Args:
            balancer: Who picks. It may be shared by any number of transports.
            transport: The transport that sends; one of the library's own if not told.
            route: Tells a request's `Route`, given the request.
            load_reports: Ask servers for their load with each answer (``endpoint-load-metrics``).
            retry_budget: What attempts after the first are paid from: 0.2 a request and 10 a second
                if not told. An SDK's retries (``x-stainless-retry-count``) count too.
            limits: As the library has it; 1000 connections and 100 idle ones if not told.
            **options: As the library's own transport has them: ``verify``, ``http2``, and so on.

        Raises:
            ConfigError: If an endpoint's address is malformed.
        """
        if not isinstance(balancer, Balancer):
            got = type(balancer).__name__
            raise TypeError(f"balancer must be a trimtab.Balancer, not {got}")
        if transport is None:
            if limits is None:
                limits = self._lib.Limits(
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=MAX_KEEPALIVE_CONNECTIONS,
                )
            self._inner: Any = self._own(limits=limits, **options)
            self._make: Any = Outgoing
        elif limits is not None or options:
            names = ", ".join([*options, *(["limits"] if limits is not None else [])])
            raise TypeError(f"{names}: set this on the transport that you give as transport=")
        else:
            self._make = copied
            self._inner = transport
        self.balancer = balancer
        """The balancer that picks."""
        self.retry_budget = RetryBudget() if retry_budget is None else retry_budget
        """What attempts after the first are paid from."""
        self._route = route
        self._load = load_reports
        self._targets = Targets(stats.address for stats in balancer.endpoints)

    def _begin(self, request: Any) -> Attempts:  # noqa: ANN401
        attempts = Attempts(id(self), request, self._route, self._load)
        if not attempts.is_retry:
            self.retry_budget.deposit()
        elif not self.retry_budget.withdraw():
            raise self._lib.ConnectError("the retry budget is spent: this retry was not sent")
        return attempts

    def _pick(self, attempts: Attempts) -> Lease:
        try:
            return self.balancer.pick(
                key=attempts.key,
                request_class=attempts.request_class,
                tried=attempts.tried or None,
                event=attempts.event,
            )
        except NoEndpoints as error:
            raise self._lib.ConnectError(str(error)) from error

    def _outgoing(self, request: Any, attempts: Attempts, lease: Lease) -> Any:  # noqa: ANN401
        target = self._targets.of(lease.address)
        attempts.headers[0] = (b"Host", target.authority)
        return self._make(self._lib, request, target, attempts.headers)

    def _goes_on(self, error: BaseException, attempts: Attempts, lease: Lease) -> bool:
        """End ``lease`` after an attempt that raised; whether another endpoint may be tried."""
        # An address that is malformed is left alone like one that cannot be reached.
        misaddressed = isinstance(error, AddressError)
        verdict = Verdict.CONNECT if misaddressed else classify(error)[0]
        lease.finish(verdict)
        error.add_note(f"trimtab: attempt {len(attempts.tried) + 1}, at endpoint {lease.id}")
        if verdict in (Verdict.CANCELLED, Verdict.IGNORED):
            return False
        endpoint = lease.id
        nothing_sent = verdict == Verdict.CONNECT
        elsewhere = endpoint not in attempts.tried and len(attempts.tried) + 1 < len(self.balancer)
        # A move that has cost no server anything costs the budget nothing.
        if nothing_sent and elsewhere and (misaddressed or self.retry_budget.withdraw()):
            attempts.tried.append(endpoint)
            return True
        attempts.failed(endpoint)
        return False

    def _answered(self, response: Any, attempts: Attempts, lease: Lease) -> Any:  # noqa: ANN401
        failed = is_failure(response.status_code)
        if failed:
            attempts.failed(lease.id)
        response.stream = self._body(response, lease, failed, self._load)
        return response


class SyncTransport(_Transport[_Inner, _Limits]):
    """A transport for the library's ``Client``."""

    def handle_request(self, request: Any) -> Any:  # noqa: ANN401
        """Send ``request`` to an endpoint of the balancer's choice."""
        attempts = self._begin(request)
        while True:
            lease = self._pick(attempts)
            try:
                response = self._inner.handle_request(self._outgoing(request, attempts, lease))
                return self._answered(response, attempts, lease)
            except BaseException as error:
                if not self._goes_on(error, attempts, lease):
                    raise

    def close(self) -> None:
        """Close the connections. The balancer stays open."""
        self._inner.close()


class AsyncTransport(_Transport[_Inner, _Limits]):
    """A transport for the library's ``AsyncClient``."""

    async def handle_async_request(self, request: Any) -> Any:  # noqa: ANN401
        """Send ``request`` to an endpoint of the balancer's choice."""
        attempts = self._begin(request)
        while True:
            lease = self._pick(attempts)
            try:
                outgoing = self._outgoing(request, attempts, lease)
                response = await self._inner.handle_async_request(outgoing)
                return self._answered(response, attempts, lease)
            except BaseException as error:
                if not self._goes_on(error, attempts, lease):
                    raise

    async def aclose(self) -> None:
        """Close the connections. The balancer stays open."""
        await self._inner.aclose()
