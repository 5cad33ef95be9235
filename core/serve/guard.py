"""Guard: what every request has to pass before anything of it is read: host, origin, token, rate and size."""

import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENTS = 10_000  # whose rate is remembered; the one that was longest away is forgotten first
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServeLimits:
    """Limits of one server."""

    pictures: int = 32  # in a request
    request_bytes: int = 64 * 2**20
    requests_a_minute: int = 600  # of one address; as many may come at once


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass
class Rate:
    """A bucket of tokens for each address: `most` at once, and `most` a minute."""

    most: int
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # tokens left, when

    def wait(self, address: str) -> float:
        """Seconds until this address may ask again; 0 takes one request off."""
        now = self.clock()
        left, before = self._buckets.pop(address, (float(self.most), now))
        left = min(float(self.most), left + (now - before) * self.most / 60)
        seconds = 0.0 if left >= 1 else (1 - left) * 60 / self.most
        self._buckets[address] = (left - (seconds == 0), now)
        while len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return seconds


class Guard:
    """Middleware: answers a request that may not pass, in a sentence, and counts the bytes of one that may."""

    def __init__(self, app: ASGIApp, limits: ServeLimits, token: str | None) -> None:
        self.app, self.limits, self.token = app, limits, token
        self.rate = Rate(limits.requests_a_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if (refused := self._refuse(Request(scope))) is not None:
            await refused(scope, receive, send)
            return
        await self.app(scope, self._counted(receive), send)

    def _refuse(self, request: Request) -> JSONResponse | None:
        if self.token is None and (urlsplit(f"//{request.headers.get('host', '')}").hostname or "") not in LOOPBACK:
            # a foreign page that points its own name at this machine (DNS rebinding) sends that name
            return _sentence(403, "This server answers under localhost and 127.0.0.1 only.")
        if self.token is None and _is_foreign(request):
            return _sentence(403, "Pages of other sites may not use this server.")
        if wait := self.rate.wait(request.client.host if request.client else ""):
            return _sentence(
                429,
                f"At most {self.limits.requests_a_minute:,} requests a minute; try again in {wait:.0f} s.",
                {"Retry-After": str(max(1, round(wait)))},
            )
        if request.url.path != "/health" and not self._is_known(request.headers.get("authorization", "")):
            return _sentence(401, "Send the token as Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.limits.request_bytes:
            return _sentence(413, self._most())
        return None

    def _is_known(self, authorization: str) -> bool:
        if self.token is None:
            return True
        kind, _, given = authorization.partition(" ")
        return kind.casefold() == "bearer" and hmac.compare_digest(given.strip().encode(), self.token.encode())

    def _counted(self, receive: Receive) -> Receive:
        """`receive` that ends in 413 once more came than may: a body need not say its length, or say it truly."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limits.request_bytes:
                raise HTTPException(413, self._most())
            return message

        return counted

    def _most(self) -> str:
        return f"A request may have {self.limits.request_bytes / 2**20:,.0f} MB."


def _is_foreign(request: Request) -> bool:
    """Whether a page of another site sent it: a browser says where it comes from."""
    origin = request.headers.get("origin")
    return origin is not None and (urlsplit(origin).hostname or "") not in LOOPBACK


def _sentence(status: int, text: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": text}, status, headers)
