"""Who may come in: passwords, sessions, the throttle of attempts, and the one-time link of a first start."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlalchemy import Connection, delete, insert, select, update

from dashboard.core.review import Role
from dashboard.inbox import Actor
from infra.store.tables import app_session, app_user

COOKIE = "rumblestrip_session"
LINK_FILE = "sign-in-link"  # in the data folder, mode 0600: SHA-256 of the token of a link not yet used
LINK_USER = "first-start"  # who signs in by link; not in app_user, and no account may be called so
LINK_LASTS_S = 24 * 3600.0  # it stands in the terminal's history, and in the log of a container
TOKEN_BYTES = 32  # 256 bit: guessing is hopeless, so that a plain SHA-256 is enough in storage

IDLE = timedelta(hours=12)  # a working day; then the password is asked for again
LONGEST = timedelta(days=7)
_TOUCH = timedelta(minutes=5)  # how old seen_at may get before it is written again
LEAST_PASSWORD = 10  # characters; NIST SP 800-63B asks for 8, and for a check against known ones that we cannot make
MOST_PASSWORD = 200  # argon2 would read megabytes

ATTEMPTS_PER_NAME = parse("5 per 5 minute")  # from one address: nobody locks another person out from afar
ATTEMPTS_PER_ADDRESS = parse("30 per 5 minute")
ATTEMPTS_EVERYWHERE = parse("60 per 5 minute")  # by a name from all addresses: more than one address may make
MOST_HASHING = 2
HASHING_WAIT_S = 2.0
_HASHER = PasswordHasher()  # argon2id with the library's parameters, RFC 9106's second set
_NO_ONE = "$argon2id$v=19$m=65536,t=3,p=4$aw9/fFW3ZRyydMhP5MLKHw$enXlrKY21wwQk7v1resgGWFsc549AuhywA64fGyUUj0"


@dataclass(frozen=True, slots=True)
class Person:
    """Someone signed in."""

    username: str
    role: Role
    driver_id: str | None

    @property
    def actor(self) -> Actor:
        return Actor(self.username, self.role, self.driver_id)

    @property
    def only_driver(self) -> str | None:
        """The driver beyond whom this person sees nothing; an account without one sees nobody at all."""
        return None if self.role is not Role.DRIVER else self.driver_id or ""


class SignInRefused(PermissionError):
    """Wrong name or password, a disabled account, or too many attempts. The message says no more than it may."""


class Throttle:
    """Counts attempts in this process: by name and address, by address, and by name alone."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._hashing = threading.BoundedSemaphore(MOST_HASHING)

    @contextmanager
    def hashing(self) -> Iterator[None]:
        """A place for one password check, which takes 64 MB and tenths of a second. Raises SignInRefused when none
        is free: many addresses at once shall not take the memory, nor the threads that serve who is signed in."""
        if not self._hashing.acquire(timeout=HASHING_WAIT_S):
            raise SignInRefused("Too many people sign in at once. Try again in a moment.")
        try:
            yield
        finally:
            self._hashing.release()

    def take(self, username: str, address: str) -> None:
        """Raises SignInRefused after too many attempts, right or wrong."""
        name = username.casefold()[:200]
        self._take(ATTEMPTS_PER_ADDRESS, "address", address)
        self._take(ATTEMPTS_PER_NAME, "name", name, address)
        self._take(ATTEMPTS_EVERYWHERE, "everywhere", name)

    def forgive(self, username: str, address: str) -> None:
        """The right password came: attempts by this name are counted anew."""
        name = username.casefold()[:200]
        self._limiter.clear(ATTEMPTS_PER_NAME, "name", name, address)
        self._limiter.clear(ATTEMPTS_EVERYWHERE, "everywhere", name)

    def _take(self, limit: RateLimitItem, *who: str) -> None:
        if not self._limiter.hit(limit, *who):
            raise SignInRefused("Too many attempts. Wait five minutes and try again.")


# --- passwords --------------------------------------------------------------------------------------------


def hash_password(password: str) -> str:
    """Raises ValueError: too short or too long."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise ValueError(f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters")
    return _HASHER.hash(password)


def check_password(connection: Connection, username: str, password: str) -> Person:
    """Takes as long for a name that does not exist as for a wrong password.

    Raises:
        SignInRefused: always with the same words.
    """
    known = username.replace("\0", "\ufffd")  # PostgreSQL takes no NUL, and no account has one
    row = connection.execute(select(app_user).where(app_user.c.username == known)).first()
    stored = row.password_hash if row else _NO_ONE
    if not _matches(stored, password) or row is None or row.disabled_at is not None:
        raise SignInRefused("Name or password is not right, or the account is disabled.")
    return Person(row.username, Role(row.role), row.driver_id)


def _matches(stored: str, password: str) -> bool:
    if len(password) > MOST_PASSWORD:
        return False
    try:
        return _HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False


# --- sessions ---------------------------------------------------------------------------------------------


def open_session(connection: Connection, username: str, now: datetime) -> str:
    """The token for the cookie. Sessions that have ended are cleared away on the same occasion."""
    table = app_session.c
    ended = (table.seen_at < now - IDLE) | (table.created_at < now - LONGEST)
    connection.execute(delete(app_session).where(ended))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    mark = _password_mark(_stored_hash(connection, username))
    row = {"token_hash": _digest(token), "username": username, "password_mark": mark}
    connection.execute(insert(app_session).values(row | {"created_at": now, "seen_at": now}))
    return token


def person_of(connection: Connection, token: str | None, now: datetime) -> Person | None:
    """Whose session it is; None where there is none, it has ended, or the account was disabled or got a new
    password meanwhile."""
    if not token:
        return None
    session = connection.execute(
        select(app_session, app_user.c.role, app_user.c.driver_id, app_user.c.password_hash, app_user.c.disabled_at)
        .select_from(app_session.outerjoin(app_user, app_user.c.username == app_session.c.username))
        .where(app_session.c.token_hash == _digest(token))
    ).first()
    if session is None or now - session.seen_at > IDLE or now - session.created_at > LONGEST:
        return None
    if now - session.seen_at > _TOUCH:
        mine = app_session.c.token_hash == session.token_hash
        connection.execute(update(app_session).where(mine).values(seen_at=now))
    if session.username == LINK_USER:
        return Person(LINK_USER, Role.MANAGER, None)
    if session.role is None or session.disabled_at is not None:
        return None
    same_password = secrets.compare_digest(session.password_mark, _password_mark(session.password_hash))
    return Person(session.username, Role(session.role), session.driver_id) if same_password else None


def close_session(connection: Connection, token: str) -> None:
    connection.execute(delete(app_session).where(app_session.c.token_hash == _digest(token)))


def _stored_hash(connection: Connection, username: str) -> str:
    found: str | None = connection.scalar(select(app_user.c.password_hash).where(app_user.c.username == username))
    return found or ""


def _password_mark(password_hash: str) -> str:
    return _digest(password_hash)[:16]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# --- the one-time link ------------------------------------------------------------------------------------


def issue_link_token(data_dir: Path) -> str:
    """A new token for one sign-in as manager within a day; one issued before is no longer good.

    Whoever can write into the data folder is in charge of everything in it anyway.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    draft = data_dir / f".{LINK_FILE}.{secrets.token_hex(4)}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_digest(token))
    draft.replace(data_dir / LINK_FILE)
    return token


def redeem_link_token(data_dir: Path, token: str) -> bool:
    """Whether the token was good. It is not any more: of two who use it at once, one gets in."""
    link = data_dir / LINK_FILE
    claimed = data_dir / f".{LINK_FILE}.{secrets.token_hex(4)}"
    try:
        fresh = time.time() - link.stat().st_mtime < LINK_LASTS_S
        if not (secrets.compare_digest(link.read_text(), _digest(token)) and fresh):
            return False
        link.rename(claimed)
        stored = claimed.read_text()
        claimed.unlink()
    except FileNotFoundError:
        return False
    return secrets.compare_digest(stored, _digest(token))
