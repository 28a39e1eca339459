"""What every request passes before any route: the host it was sent to, the token, and headers of the answer."""

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.api.errors import answer
from apps.api.settings import LOOPBACK

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Gate:
    """ASGI: nothing is answered without the token, whatever the path; without one, only to names of this machine, so that no
    page in a browser reaches the service under a name of its own (DNS rebinding)."""

    def __init__(self, app: ASGIApp, token: str | None):
        self.app, self.token = app, None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # there are no websockets here

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        headers = Headers(scope=scope)
        if self.token is not None:
            if not self._allowed(headers.get("authorization", "")):
                said = answer(401, "expected the service's token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
                await said(scope, receive, guarded)
                return
        elif host_of(headers.get("host", "")) not in LOOPBACK:
            await answer(421, "expected a request to 127.0.0.1 or localhost")(scope, receive, guarded)
            return
        await self.app(scope, receive, guarded)

    def _allowed(self, authorization: str) -> bool:
        kind, _, given = authorization.partition(" ")
        assert self.token is not None
        same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self.token)  # in constant time
        return same and kind.lower() == "bearer"


def host_of(header: str) -> str:
    """The name in a Host header, without the port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()
