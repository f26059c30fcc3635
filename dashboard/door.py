"""The door of the desk: sign-in and sign-out, footage by permission, and nothing behind it without a session."""

from __future__ import annotations

import asyncio
import html
import logging
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import api, auth, footage
from dashboard.api import build_api
from dashboard.auth import COOKIE, Person, SignInRefused, Throttle
from dashboard.theme import ICON_SVG
from infra.clock import Clock, to_datetime
from infra.settings import Settings
from infra.store.engine import StoreUnavailable
from infra.store.media import MediaStore, MediaUnavailable

logger = logging.getLogger(__name__)

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
FOOTAGE = "/footage"
MOST_FORM_BYTES = 8_192  # name, password and address of a page, each letter as %XX%XX
FORM_WAIT_S = 15.0
ICON = "/favicon.png"  # Streamlit asks for this name; browsers read what it holds by its type
_AWAY = (SQLAlchemyError, StoreUnavailable)
_OPEN = ("/_stcore/health", "/_stcore/host-config", "/static/", ICON, SIGN_IN, api.PREFIX)
"""They hold nothing of the fleet; the API asks for itself, since programs come without a session."""
# Streamlit's charts compile their expressions, hence 'unsafe-eval'. Nothing may be loaded from, or sent, elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss: blob: data:; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


class Door:
    """Sessions and footage over one database; made once a process."""

    def __init__(self, settings: Settings, engine: Engine, media: MediaStore, clock: Clock) -> None:
        self.settings = settings
        self.engine = engine
        self.media = media
        self.clock = clock
        self.throttle = Throttle()

    def person(self, token: str | None) -> Person | None:
        with self.engine.begin() as connection:
            return auth.person_of(connection, token, to_datetime(self.clock.now_us()))

    def sign_in(self, username: str, password: str, address: str) -> str:
        """A session's token. Raises SignInRefused."""
        person = self.check(username, password, address)
        with self.engine.begin() as connection:
            return auth.open_session(connection, person.username, to_datetime(self.clock.now_us()))

    def check(self, username: str, password: str, address: str) -> Person:
        """Whose name and password these are. Raises SignInRefused, after too many attempts as well."""
        self.throttle.take(username, address)
        with self.throttle.hashing(), self.engine.connect() as connection:
            person = auth.check_password(connection, username, password)
        self.throttle.forgive(username, address)
        return person

    def sign_in_by_link(self, token: str) -> str | None:
        if not auth.redeem_link_token(self.settings.data_dir, token):
            return None
        with self.engine.begin() as connection:
            return auth.open_session(connection, auth.LINK_USER, to_datetime(self.clock.now_us()))

    def sign_out(self, token: str) -> None:
        with self.engine.begin() as connection:
            auth.close_session(connection, token)

    def footage(self, person: Person, event_id: UUID, name: str) -> bytes | None:
        """A still or a clip of an event that this person may see; None where there is none."""
        now = to_datetime(self.clock.now_us())
        return footage.read(self.engine, self.media, self.settings, person, event_id, name, now)

    # --- routes ---

    def routes(self) -> list[Route]:
        return [
            Route(SIGN_IN, self._show_sign_in, methods=["GET"]),
            Route(SIGN_IN, self._take_sign_in, methods=["POST"]),
            Route(SIGN_OUT, self._take_sign_out, methods=["POST"]),
            Route(FOOTAGE + "/{event_id:uuid}/{name}", self._show_footage, methods=["GET"]),
            Route(ICON, _show_icon, methods=["GET"]),
        ]

    def middleware(self) -> list[Middleware]:
        return [Middleware(Guard, door=self)]

    async def _show_sign_in(self, request: Request) -> Response:
        return sign_in_page(local_path(request.query_params.get("next")))

    async def _take_sign_in(self, request: Request) -> Response:
        if not same_origin(request):
            return PlainTextResponse("This form was sent from another site.", 403)
        form = await read_form(request)
        if form is None:
            return PlainTextResponse("This form is too long, or too slow in coming.", 413)
        username, password = form.get("username", ""), form.get("password", "")
        goal = local_path(form.get("next", "/"))
        address = request.client.host if request.client else ""
        try:
            token = await run_in_threadpool(self.sign_in, username, password, address)
        except SignInRefused as refusal:
            return sign_in_page(goal, str(refusal), username)
        return with_cookie(RedirectResponse(goal, 303), request, token)

    async def _take_sign_out(self, request: Request) -> Response:
        if not same_origin(request):
            return PlainTextResponse("This form was sent from another site.", 403)
        await run_in_threadpool(self.sign_out, request.cookies.get(COOKIE, ""))
        response = RedirectResponse(SIGN_IN, 303)
        response.delete_cookie(COOKIE)
        return response

    async def _show_footage(self, request: Request) -> Response:
        event_id, name = request.path_params["event_id"], request.path_params["name"]
        try:
            content = await run_in_threadpool(self.footage, request.state.person, event_id, name)
        except MediaUnavailable:
            logger.exception("the media store does not answer")
            return PlainTextResponse(footage.AWAY, 503, {"retry-after": "30"})
        return footage.respond(content, name, request.headers.get("range"))


class Guard:
    """Lets nobody past without a session: pages go to the sign-in page, everything else is refused.

    The door's own routes are answered here, ahead of Streamlit's middleware, whose compression (1.60) loses the
    head of every image with Starlette 1.3.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door
        self.own = Router([*door.routes(), Mount("", build_api(door))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        guarded = send if scope["type"] == "websocket" else _with_headers(send)
        refusal: Response | None = None
        if not connection.url.path.startswith(_OPEN):
            try:
                refusal = await self._refusal(connection, scope)
            except _AWAY:
                logger.exception("the database does not answer")
                refusal = away_page()
        if refusal is None:
            ours = connection.url.path.startswith((SIGN_IN, SIGN_OUT, FOOTAGE, ICON, api.PREFIX))
            await (self.own if ours else self.app)(scope, receive, guarded)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "sign in again"})
        else:
            await refusal(scope, receive, guarded)

    async def _refusal(self, connection: HTTPConnection, scope: Scope) -> Response | None:
        """What to answer instead; None to let them in, with ``state.person`` set."""
        path = connection.url.path
        link = connection.query_params.get("token")
        if link and path == "/":
            return await self._by_link(connection, link)
        person = await run_in_threadpool(self.door.person, connection.cookies.get(COOKIE))
        if person is not None:
            scope.setdefault("state", {})["person"] = person
            return None
        if path.startswith(("/_stcore", "/media", FOOTAGE)) or scope.get("method") != "GET":
            return PlainTextResponse("Sign in first.", 401)
        query = f"?{connection.url.query}" if connection.url.query else ""
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': path + query})}", 303)

    async def _by_link(self, connection: HTTPConnection, link: str) -> Response:
        token = await run_in_threadpool(self.door.sign_in_by_link, link)
        if token is not None:
            return with_cookie(RedirectResponse("/", 303), connection, token)
        if await run_in_threadpool(self.door.person, connection.cookies.get(COOKIE)):
            return RedirectResponse("/", 303)
        return sign_in_page(
            "/", "This link was used already, or a newer one was made. Start again for a new one, or sign in."
        )


# --- small decisions --------------------------------------------------------------------------------------


def local_path(goal: str | None) -> str:
    """The path to go on to: one of ours, never another site's."""
    usable = goal and goal.startswith("/") and not goal.startswith(("//", "/\\", SIGN_IN)) and goal.isprintable()
    return quote(goal, safe="/?&=%-_.~:,+") if usable and goal else "/"


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a form, which anyone may send: None when it is over MOST_FORM_BYTES or takes too long."""
    body = b""
    try:
        async with asyncio.timeout(FORM_WAIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_FORM_BYTES:
                    return None
    except TimeoutError:
        return None
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def same_origin(connection: HTTPConnection) -> bool:
    """Whether a form came from a page of ours. Browsers send Origin with every POST."""
    origin = connection.headers.get("origin")
    return origin is None or origin.partition("://")[2] == connection.headers.get("host", "")


def with_cookie(response: Response, connection: HTTPConnection, token: str) -> Response:
    secure = connection.headers.get("x-forwarded-proto", connection.url.scheme) in ("https", "wss")
    longest = int(auth.LONGEST.total_seconds())
    response.set_cookie(COOKIE, token, max_age=longest, httponly=True, samesite="lax", secure=secure)
    return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


async def _show_icon(_: Request) -> Response:
    return Response(ICON_SVG, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})


# --- pages outside Streamlit ------------------------------------------------------------------------------


def sign_in_page(goal: str, problem: str = "", username: str = "") -> HTMLResponse:
    alert = f'<p class="problem" role="alert">{html.escape(problem)}</p>' if problem else ""
    body = f"""
      <h1>Rumblestrip</h1><p class="muted">The safety desk of your fleet.</p>{alert}
      <form method="post" action="{SIGN_IN}">
        <input type="hidden" name="next" value="{html.escape(goal)}">
        <label>Name<input name="username" value="{html.escape(username)}" autocomplete="username" required autofocus
          maxlength="100"></label>
        <label>Password<input name="password" type="password" autocomplete="current-password" required
          maxlength="{auth.MOST_PASSWORD}"></label>
        <button>Sign in</button>
      </form>
      <p class="muted small">No account yet? On the server:
      <code>rumblestrip users add NAME --role manager</code></p>"""
    return HTMLResponse(_page("Sign in", body), 403 if problem else 200, {"cache-control": "no-store"})


def away_page() -> HTMLResponse:
    body = """<h1>The database does not answer</h1>
      <p>Nothing is lost: what vehicles send waits on the bus. Try again in a moment.</p>
      <p class="muted">If it lasts: <code>rumblestrip services status</code> and <code>rumblestrip doctor</code> on the
      server say what is wrong.</p>"""
    return HTMLResponse(_page("Database away", body), 503, {"retry-after": "10", "cache-control": "no-store"})


def _page(title: str, body: str) -> str:
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} · Rumblestrip</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif;
  background: light-dark(#f0f1ee, #12171c); color: light-dark(#1c2530, #e6eaed); }}
main {{ width: min(24rem, calc(100vw - 4rem)); padding: 2rem; border-radius: .6rem;
  background: light-dark(#fff, #1b2229); border: 1px solid light-dark(#d9dcd6, #323c46);
  border-left: .5rem solid light-dark(#0b6572, #3fb4c2); }}
h1 {{ font-size: 1.5rem; margin: 0; }} form {{ display: grid; gap: .9rem; margin: 1.2rem 0; }}
label {{ display: grid; gap: .25rem; font-size: .9rem; }}
input {{ font: inherit; padding: .5rem .6rem; border-radius: .4rem; border: 1px solid light-dark(#9aa3ab, #5b6773);
  background: transparent; color: inherit; }}
button {{ font: inherit; font-weight: 600; padding: .55rem; border: 0; border-radius: .4rem; cursor: pointer;
  background: light-dark(#0b6572, #3fb4c2); color: light-dark(#fff, #0d1216); }}
.muted {{ color: light-dark(#56616c, #a3afba); margin: .2rem 0; }} .small {{ font-size: .82rem; }}
.problem {{ color: light-dark(#a61b29, #ff8a8f); margin: .8rem 0 0; }} code {{ font-size: .9em; }}
</style></head><body><main>{body}</main></body></html>"""
