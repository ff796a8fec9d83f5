"""Who may see the pages: the browser that was given the token, on the address that was told.

Other pages in the same browser, names that are made to point here (DNS rebinding) and other users
of the machine are refused. Nothing is loaded from elsewhere, and no script runs that is no file
of ours: a row that got markup past the escaping could still do nothing.
"""

import hmac
import secrets
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}' {maps}; "
    # Plotly places its labels by style attributes; those load nothing and run nothing.
    "style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

MAPS = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
"""The style sheet of Plotly 7.1's maps. No page has one, but its script brings it, and a browser
would tell of it as of a fault."""

HEADERS = {
    "x-content-type-options": "nosniff",
    # Not no-referrer: a browser would then give the pages' own forms the origin "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

NO_TOKEN = "open the address that `sluice view` printed: it has the token\n"

OTHER_HOST = "this address is not the one that `sluice view` serves\n"

OTHER_PAGE = "this was asked by another page\n"


class Guard:
    """Lets requests through to the pages, or refuses them."""

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        """Guard an app.

        Args:
            app: the pages.
            token: what the first request must know; a cookie has it afterwards.
            hosts: names with ports by which the pages may be asked for, such as 127.0.0.1:8765.
        """
        self.app, self.token, self.hosts = app, token, frozenset(hosts)
        # A browser gives cookies to every port of a host: each server has a name of its own.
        self.cookie = f"sluice_view_{min(hosts).rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":  # nothing here speaks over a web socket
            scope["nonce"] = secrets.token_urlsafe(16)
            refused = self.refuse(scope)
            await (refused or self.app)(scope, receive, with_headers(send, scope["nonce"]))

    def refuse(self, scope: Scope) -> Response | None:
        """What is answered in place of the page; None where the page may be seen."""
        headers = Headers(scope=scope)
        if headers.get("host") not in self.hosts:
            return PlainTextResponse(OTHER_HOST, 403)
        origin = headers.get("origin")
        # A browser names the origin of whatever is no plain visit; what writes must have one.
        if origin is None and scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse(OTHER_PAGE, 403)
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return PlainTextResponse(OTHER_PAGE, 403)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(asked).get("token")
        if given is not None and self.knows(given):
            rest = urlencode([each for each in asked if each[0] != "token"])
            answer = RedirectResponse(f"{scope['path']}{'?' if rest else ''}{rest}", 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict")
            return answer
        if not self.knows(cookie_parser(headers.get("cookie", "")).get(self.cookie, "")):
            return PlainTextResponse(NO_TOKEN, 401)
        return None

    def knows(self, given: str) -> bool:
        """Whether it is the token; the time that takes tells nothing of it."""
        return hmac.compare_digest(given.encode(), self.token.encode())


def with_headers(send: Send, nonce: str) -> Send:
    """A way to answer that adds what the browser must know."""

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = POLICY.format(nonce=nonce, maps=MAPS)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return answer
