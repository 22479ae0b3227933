"""Requests to a source of usage: credentials from a file, and a sentence for each failure."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import httpx

from planner.errors import ServerError, ServerUnreachable, quote

LONGEST_SECRET = 16_384
"""Bytes read of a file with credentials."""

LONGEST_WORDS = 300
"""Characters that an error tells of what a source says."""

SHORTEST_SECRET = 8
"""The least length at which a token or password is masked: shorter ones may be plain words."""

TIMEOUT = httpx.Timeout(60.0, connect=10.0)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials in a file, which is read at every request: a rotated one is used at once.

    For ``bearer`` the file has a token, for ``basic`` it has ``user:password``.
    """

    kind: Literal["bearer", "basic"]
    path: Path

    def auth(self) -> dict[str, Any]:
        """Return httpx's arguments that send them.

        Raises:
            ServerError: The file has none that could be sent; its content isn't quoted.
        """
        try:
            with self.path.open("rb") as file:
                secret = file.read(LONGEST_SECRET + 1).decode("ascii").strip()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ServerError(f"{self.path} can't be read: {reason}") from error
        except UnicodeDecodeError:
            secret = ""
        if not secret or len(secret) > LONGEST_SECRET or any(char.isspace() for char in secret):
            raise ServerError(f"{self.path} has no credentials: one line, nothing else")
        if self.kind == "bearer":
            return {"headers": {"authorization": f"Bearer {secret}"}}
        user, colon, password = secret.partition(":")
        if not colon:
            raise ServerError(f"{self.path} must have one line, USER:PASSWORD")
        return {"auth": httpx.BasicAuth(user, password)}


def base_url(value: str, variable: str) -> str:
    """Return the address in the environment *variable*, without a slash at its end.

    Raises:
        ServerError: It is none; what may be a password in it isn't quoted.
    """
    try:
        parts = urlsplit(value.strip())
        host, secret = parts.hostname, parts.username or parts.password
    except ValueError:
        parts, host, secret = urlsplit(""), None, None
    if secret:
        raise ServerError(f"{variable} has credentials in it: put them in a file of their own")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ServerError(f"{variable} is {quote(value)}: write https://prometheus.example.com")
    return value.strip().rstrip("/")


@dataclass(slots=True)
class Client:
    """A client of one source, used as a context; it counts its *requests*.

    Attributes:
        name: The source as sentences call it.
        url: Its address, of which paths are added to.
        settings: Environment variables that say where it is, and how it lets one in.
        credentials: What to send; None sends nothing.
        requests: Requests that were sent.
    """

    name: str
    url: str
    settings: tuple[str, ...]
    credentials: Credentials | None = None
    transport: httpx.AsyncBaseTransport | None = None
    requests: int = 0
    _http: httpx.AsyncClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        transport = self.transport or httpx.AsyncHTTPTransport(retries=2)
        # Compressed, a week of minutes takes a Prometheus seven times the processor time.
        self._http = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, headers={"accept-encoding": "identity"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        with_credentials: bool = True,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Return the reply, whatever its status; *path* may be a whole address.

        Raises:
            ServerUnreachable: There was none.
            ServerError: The credentials can't be sent.
        """
        sent = self.credentials.auth() if self.credentials and with_credentials else {}
        sent["headers"] = {**(headers or {}), **sent.get("headers", {})}
        self.requests += 1
        url = path if "://" in path else self.url + path
        try:
            return await self._http.request(method, url, **sent, **content)
        except httpx.TimeoutException as error:
            raise ServerUnreachable(
                f"{self.name} at {self.url} did not answer in time: look whether it is "
                "overloaded, or ask for less time at once"
            ) from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ServerUnreachable(
                f"{self.name} at {self.url} can't be reached: {reason}; check {self.settings[0]}"
            ) from error

    def failure(self, reply: httpx.Response, said: str = "") -> ServerError:
        """Return the error that *reply* is; *said* is what the source says, by `words_of`."""
        status, where = reply.status_code, f"{self.name} at {self.url}"
        words = f": {said}" if said else ""
        if status in (401, 403):
            place = self.credentials.path if self.credentials else None
            what = f"the one in {place} is not right" if place else "none is set"
            return ServerError(
                f"{where} wants other credentials (HTTP {status}): {what}; "
                f"see {', '.join(self.settings[1:])}"
            )
        if status == 429:
            wait = reply.headers.get("retry-after", "")
            when = f"again in {wait} s" if wait.isdecimal() else "again later"
            return ServerError(f"{where} has had too many requests (HTTP 429): try {when}")
        if 300 <= status < 400:
            target = urlsplit(reply.headers.get("location", "")).netloc or "elsewhere"
            return ServerError(
                f"{where} redirects to {target}: set {self.settings[0]} to where the API is"
            )
        if status == 404:
            return ServerError(
                f"{where} has no such API (HTTP 404): set {self.settings[0]} to its base address"
            )
        if status >= 500:
            return ServerError(f"{where} failed (HTTP {status}){words}: try again later")
        return ServerError(f"{where} refused the request (HTTP {status}){words}")

    def unreadable(self, what: str) -> ServerError:
        """Return the error of a reply that isn't *what* it should be."""
        return ServerError(
            f"{self.name} at {self.url} answered with something that is not {what}: "
            f"check that {self.settings[0]} leads to it, and not to a login page"
        )


def words_of(reply: httpx.Response, said: object) -> str:
    """Return what a source has *said*, short and in one line, without the credentials sent.

    They are masked before the words are cut: a piece of them would not be found.
    """
    line = " ".join(str(said).split())
    for secret in _secrets(reply.request):
        if len(secret) >= SHORTEST_SECRET:
            line = line.replace(secret, "[secret]")
    return line[:LONGEST_WORDS]


def _secrets(request: httpx.Request) -> Iterator[str]:
    """Yield the token that *request* sent; for ``basic`` the password in it, too."""
    kind, _, sent = request.headers.get("authorization", "").partition(" ")
    yield sent
    if kind == "Basic":
        yield b64decode(sent).decode().partition(":")[2]


def credentials_from(environ: Mapping[str, str], bearer: str, basic: str) -> Credentials | None:
    """Return the credentials in the file that *bearer* or *basic*, environment variables, name.

    Raises:
        ServerError: Both are set.
    """
    token, login = environ.get(bearer, "").strip(), environ.get(basic, "").strip()
    if token and login:
        raise ServerError(f"{bearer} and {basic} are both set: unset one")
    if token:
        return Credentials("bearer", Path(token))
    return Credentials("basic", Path(login)) if login else None


def keyed_client(
    name: str, default: str, url_variable: str, key_variable: str, environ: Mapping[str, str]
) -> Client | None:
    """Return a client that sends the key in the file that *key_variable* names; None without one.

    It is for the address in *url_variable*, else for *default*.

    Raises:
        ServerError: The variables can't be used.
    """
    if not (key := environ.get(key_variable, "").strip()):
        return None
    url = base_url(environ.get(url_variable, "").strip() or default, url_variable)
    return Client(name, url, (url_variable, key_variable), Credentials("bearer", Path(key)))
