"""HTTP to SMILE: one session per account, every answer one ``Outcome``, and the push with its isolation.

What an answer means is decided in ``classify`` (pure). What is not decided here: when to try again (``retry``), what
became of an item over time (``outbox``).
"""

from __future__ import annotations

import json
import logging
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import httpx

from gateway.smile.items import (
    ROUTE_SHIFT_MS,
    ItemReply,
    bad_records,
    batches,
    item_body,
    parse_reply,
    shift_error_ms,
    words_of,
)
from gateway.smile.login import LoginState, TokenFile, login_failed, login_succeeded, login_tried, next_login_ms
from gateway.smile.port import Item, Outcome, PushResult, PushStatus, Route
from gateway.smile.retry import MinuteGate

_LOG = logging.getLogger(__name__)
PUSH_PATHS = {Route.COLD: "/api/v2/histories/push", Route.ROOM: "/api/warehouse/histories/push"}
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# A 422 with these words is SMILE's own trouble, not ours (smile-and-waste item 10; no code exists for it).
_DATABASE_TROUBLE = "database connection error"
_HOUR_MS = 3_600_000
MAX_REFUSALS = 20  # in one push; more than that is not twenty bad readings but a changed SMILE


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the outcome, the status (0 = none), the parsed body or None."""

    outcome: Outcome
    status: int = 0
    body: object = None
    text: str = ""

    @property
    def words(self) -> str:
        return words_of(self.body) or self.text


def classify(status: int, body: object) -> Outcome:
    """What a status means for a call that changes something (duty 17; smile-core-api 7).

    A 500 that carries core's own JSON rolled its transaction back; 502 and 504 come from a proxy that does not know
    what happened behind it, so the answer counts as lost.
    """
    match status:
        case 401:
            return Outcome.LOGIN
        case 403:
            return Outcome.FORBIDDEN
        case 404:
            return Outcome.NOT_FOUND
        case 429:
            return Outcome.BUSY
        case 502 | 504:
            return Outcome.LOST
        case 500:
            return Outcome.AGAIN if isinstance(body, Mapping) else Outcome.LOST
    if 200 <= status < 300:
        return Outcome.DONE
    if status >= 500:
        return Outcome.AGAIN
    if status == 422 and _DATABASE_TROUBLE in words_of(body).casefold():
        return Outcome.AGAIN
    # 3xx: the address is wrong, which a person must set right; the other 4xx: what we sent is wrong.
    return Outcome.FORBIDDEN if status < 400 else Outcome.DATA


@dataclass(frozen=True, slots=True)
class Account:
    """One SMILE account. ``key`` names its token file; the password never reaches a log."""

    key: str
    username: str
    password: str = field(repr=False)


def new_http(connect_s: float = 10.0, read_s: float = 60.0) -> httpx.AsyncClient:
    """The HTTP client of the adapter, with the time-outs of duty 18.

    No connection is kept: a server that closes an idle one would turn the next push into a lost answer. The
    environment is not asked for a proxy: settings come from the config alone.
    """
    return httpx.AsyncClient(
        timeout=httpx.Timeout(read_s, connect=connect_s),
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        verify=_trusted(),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """The well-known authorities; reading them takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)


class Session:
    """One account's calls: carries the token, logs in again on 401 once, never in a loop (duties 14, 15)."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        core_url: str,
        account: Account,
        tokens: TokenFile,
        now_ms: Callable[[], int],
        *,
        login_interval_ms: int = 60_000,
        warm_up: bool = False,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._http = http
        self._login_url = core_url.rstrip("/") + "/api/auth/login"
        self._account = account
        self._tokens = tokens
        self._now_ms = now_ms
        self._interval_ms = login_interval_ms
        self._warm_up = warm_up
        self._warm_url = core_url.rstrip("/") + "/api/asset-type"
        self._jitter = jitter or secrets.SystemRandom().random
        self._state: LoginState = tokens.load()

    @property
    def username(self) -> str:
        return self._account.username

    async def call(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call with a token. A 401 means nothing was done, so it is repeated once after one new login."""
        if self._state.token is None:
            refused = await self._log_in()
            if refused is not None:
                return refused
        answer = await self._send(method, url, body, params, headers)
        if answer.outcome is not Outcome.LOGIN:
            return answer
        refused = await self._log_in()
        return refused if refused is not None else await self._send(method, url, body, params, headers)

    async def _log_in(self) -> Answer | None:
        """None when a fresh token is there, else why not."""
        now = self._now_ms()
        earliest = next_login_ms(self._state, now)
        if earliest > now:
            text = f"no login to SMILE as {self.username} before {(earliest - now) // 1000} s have passed"
            return Answer(Outcome.LOGIN, text=text)
        before = self._state
        self._keep(login_tried(before, now))
        body = {"username": self._account.username, "password": self._account.password}
        answer = await self._request("POST", self._login_url, body, None, {})
        token = answer.body.get("token_login") if isinstance(answer.body, Mapping) else None
        if answer.outcome is Outcome.DONE and isinstance(token, str) and token:
            self._keep(login_succeeded(self._state, token, now, self._interval_ms))
            if self._warm_up:
                # Main answers 401 until the account's first call to core stored its Keycloak id (smile-core-api 2).
                await self._send("GET", self._warm_url, None, None, None)
            return None
        if answer.outcome is Outcome.UNREACHABLE:
            self._keep(before)  # SMILE never heard of this try
            return answer
        self._keep(login_failed(self._state, now, self._jitter()))
        # 400 "Login failed" is a wrong password or the auth service down: SMILE does not say which (duty 15).
        text = f"SMILE refused the login of {self.username}: {answer.words or answer.status}"
        _LOG.warning("%s; check the password, else wait: SMILE's login service may be down", text)
        return Answer(Outcome.LOGIN, answer.status, answer.body, text)

    def _keep(self, state: LoginState) -> None:
        self._state = state
        self._tokens.save(state)

    async def _send(
        self,
        method: str,
        url: str,
        body: object,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        return await self._request(
            method, url, body, params, {"authorization": f"Bearer {self._state.token}", **(headers or {})}
        )

    async def _request(
        self,
        method: str,
        url: str,
        body: object,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
    ) -> Answer:
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        fixed = {"accept-language": "en", "device-type": "web", "accept": "application/json"}
        if content is not None:
            fixed["content-type"] = "application/json"  # without it the push answers 500 (smile-core-api 1)
        try:
            response = await self._http.request(
                method, url, content=content, params=params, headers=fixed | dict(headers)
            )
        except _NOT_SENT as error:
            return Answer(Outcome.UNREACHABLE, text=f"no connection to {httpx.URL(url).host}: {error}")
        except httpx.RequestError as error:
            return Answer(Outcome.LOST, text=f"the answer was lost ({type(error).__name__})")
        return _answer(response)


def _answer(response: httpx.Response) -> Answer:
    try:
        body = response.json() if response.content else None
    except ValueError:
        body = None
    outcome = classify(response.status_code, body)
    if response.content and body is None and outcome is Outcome.DONE:
        # A portal's login page says 200 too. SMILE never does so without JSON.
        return Answer(Outcome.LOST, response.status_code, None, "the answer is not SMILE's")
    return Answer(outcome, response.status_code, body, "" if body is not None else response.text[:200])


@dataclass(slots=True)
class Pusher:
    """Pushes items and judges each one alone (duties 6 to 8, 11, 12; smile-and-waste items 2, 4, 5, 8).

    ``proved`` holds the routes whose stored time was seen to be right; until then one single item goes first, as
    the probe. ``disabled`` is the reason no push goes out any more, or "".
    """

    session: Session
    core_url: str
    limit: int = 1000
    proved: set[Route] = field(default_factory=set)
    disabled: str = ""
    _refusals_left: int = 0

    async def push(self, items: Sequence[Item]) -> list[PushResult]:
        """A result per item, in no given order. Stops calling at the first call SMILE could not take."""
        results: list[PushResult] = []
        stop: Outcome | None = None
        self._refusals_left = MAX_REFUSALS
        for call in [call for batch in batches(items, self.limit) for call in self._probe_first(batch)]:
            if self.disabled:
                stop = Outcome.FORBIDDEN
            if stop is not None:
                results += [PushResult(i.key, PushStatus.NOT_SENT, self.disabled, stop) for i in call]
                continue
            done = await self._call(call)
            results += done
            stop = next((r.outcome for r in done if r.status in _STOPS), None)
        return _without_mass_refusal(results)

    def _probe_first(self, batch: list[Item]) -> list[list[Item]]:
        if batch[0].route in self.proved or len(batch) == 1:
            return [batch]
        return [batch[:1], batch[1:]]

    async def _call(self, items: list[Item]) -> list[PushResult]:
        url = self.core_url.rstrip("/") + PUSH_PATHS[items[0].route]
        answer = await self.session.call("POST", url, body=[item_body(i) for i in items])
        match answer.outcome:
            case Outcome.DONE:
                return self._judge(items, answer)
            case Outcome.LOST:
                return [PushResult(i.key, PushStatus.UNCERTAIN, answer.words, Outcome.LOST) for i in items]
            case Outcome.DATA:
                return await self._isolate(items, answer)
            case other:
                return [PushResult(i.key, PushStatus.NOT_SENT, answer.words, other) for i in items]

    def _judge(self, items: list[Item], answer: Answer) -> list[PushResult]:
        reply = parse_reply(answer.body, len(items))
        if reply is None:
            text = "SMILE's answer has not one result per item"
            return [PushResult(i.key, PushStatus.UNCERTAIN, text, Outcome.LOST) for i in items]
        for item, one in zip(items, reply.items, strict=True):
            self._prove(item, one)
        return [PushResult(i.key, r.status, r.text) for i, r in zip(items, reply.items, strict=True)]

    def _prove(self, item: Item, reply: ItemReply) -> None:
        if reply.status is not PushStatus.STORED:
            return
        error_ms = shift_error_ms(item, reply, ROUTE_SHIFT_MS[item.route])
        if error_ms == 0 or error_ms is None:
            # The 3.0 shape says no time: with an explicit offset there is nothing a zone could change (duty 1).
            self.proved.add(item.route)
        else:
            self.disable_for_shift(item.route, error_ms)

    def disable_for_shift(self, route: Route, error_ms: int) -> None:
        """SMILE stored another time than the one sent: every further reading would be misdated."""
        hours = f"{error_ms / _HOUR_MS:+g} h"
        self.disabled = (
            f"SMILE stored a time {hours} from the expected one (route {route}): no more readings are pushed. "
            f"SMILE's rule for actual_date has changed; update the adapter, then start it again"
        )
        _LOG.error("%s", self.disabled)

    async def _isolate(self, items: list[Item], answer: Answer) -> list[PushResult]:
        """One bad item made the whole call fail: take it out, send the rest (duty 6; smile-and-waste item 4)."""
        bad = frozenset({0}) if len(items) == 1 else bad_records(answer.body, len(items))
        refused = [PushResult(items[n].key, PushStatus.REFUSED, answer.words, Outcome.DATA) for n in sorted(bad)]
        self._refusals_left -= len(refused)
        good = [item for n, item in enumerate(items) if n not in bad]
        if not good:
            return refused
        if self._refusals_left <= 0:
            return refused + [PushResult(i.key, PushStatus.NOT_SENT, answer.words, Outcome.DATA) for i in good]
        if bad:
            return refused + await self._call(good)
        results = await self._call(items[: len(items) // 2])
        if any(r.status in _STOPS for r in results):
            rest = items[len(items) // 2 :]
            return results + [PushResult(i.key, PushStatus.NOT_SENT, "", Outcome.AGAIN) for i in rest]
        return results + await self._call(items[len(items) // 2 :])


_STOPS = frozenset({PushStatus.NOT_SENT, PushStatus.UNCERTAIN})


def _without_mass_refusal(results: list[PushResult]) -> list[PushResult]:
    """When SMILE refuses very many and takes none, SMILE's rules have changed, not our readings: nothing is
    quarantined, everything waits for a person."""
    refused = sum(r.status is PushStatus.REFUSED for r in results)
    if refused < MAX_REFUSALS or any(r.status is PushStatus.STORED for r in results):
        return results
    return [
        PushResult(r.key, PushStatus.NOT_SENT, r.text, r.outcome) if r.status is PushStatus.REFUSED else r
        for r in results
    ]


@dataclass(slots=True)
class Wms:
    """Calls to the waste programme under its rate limit (duty 27)."""

    session: Session
    base_url: str
    now_ms: Callable[[], int]
    gate: MinuteGate = field(default_factory=MinuteGate)

    async def call(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str | int] | None = None
    ) -> Answer:
        """BUSY without a call when the minute is full."""
        now = self.now_ms()
        wait = self.gate.wait_ms(now)
        if wait > 0:
            return Answer(Outcome.BUSY, text=f"the waste programme's limit per minute: wait {wait // 1000 + 1} s")
        self.gate.called(now)
        url = self.base_url.rstrip("/") + "/api/v1" + path
        answer = await self.session.call(method, url, body=body, params=params)
        if answer.outcome is Outcome.BUSY:
            self.gate.refused(now)
        return answer


@dataclass(frozen=True, slots=True)
class Main:
    """Calls to SMILE main in one program (``x-program-id``, duty 21)."""

    session: Session
    base_url: str
    program_id: int

    async def call(
        self, method: str, path: str, *, body: object = None, params: Mapping[str, str | int] | None = None
    ) -> Answer:
        headers = {"x-program-id": str(self.program_id)}
        return await self.session.call(
            method, self.base_url.rstrip("/") + path, body=body, params=params, headers=headers
        )
