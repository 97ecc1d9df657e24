"""The real door to SMILE: one HTTP client, one session per account, and the port's four methods."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType

from gateway.smile.client import Account, Main, Pusher, Session, Wms, new_http
from gateway.smile.config import Config
from gateway.smile.discards import Discards
from gateway.smile.login import TokenFile
from gateway.smile.port import BagLabel, BagWeight, DiscardOrder, Draft, Item, Person, PostResult, PushResult
from gateway.smile.readback import History
from gateway.smile.retry import MinuteGate
from gateway.smile.weights import Weights


class SmileDoor:
    """``async with SmileDoor(config, net_ms, data_ms) as door``: implements ``SmilePort``.

    ``net_ms`` is real time (log-ins, limits), ``data_ms`` the clock of the readings (bounds of a history query).
    Raises ConfigError on entering when another process holds one of the accounts.
    """

    def __init__(
        self,
        config: Config,
        net_ms: Callable[[], int],
        data_ms: Callable[[], int],
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._config = config
        self._net_ms = net_ms
        self._data_ms = data_ms
        self._jitter = jitter
        self._stack = AsyncExitStack()
        self._sessions: dict[str, Session] = {}
        self._gates: dict[str, MinuteGate] = {}

    async def __aenter__(self) -> SmileDoor:
        config = self._config
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(new_http(config.connect_timeout_s, config.read_timeout_s))
            for account in config.accounts.values():
                self._open(stack, account)
            self._stack = stack.pop_all()
        self.pusher = Pusher(self._session(config.account), config.core_url, config.batch_limit)
        reader = config.read_back_account or config.account
        self.history = History(self._session(reader), config.core_url, self._data_ms)
        return self

    def _open(self, stack: AsyncExitStack, account: Account) -> None:
        config = self._config
        name = re.sub(r"[^A-Za-z0-9_.\-]", "_", account.username)
        tokens = TokenFile(config.token_dir / f"{name}.json", f"{account.username} {config.core_url}")
        stack.callback(tokens.close)
        self._sessions[account.username] = Session(
            self._http,
            config.core_url,
            account,
            tokens,
            self._net_ms,
            login_interval_ms=int(config.login_interval_s * 1000),
            warm_up=True,
            jitter=self._jitter,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _session(self, account: Account) -> Session:
        return self._sessions[account.username]

    def discards(self, site: str) -> Discards:
        config = self._config
        main = Main(self._session(config.account_of(site)), config.main_url, config.program_id)
        return Discards(main, self._net_ms)

    def weights(self, site: str) -> Weights:
        config = self._config
        account = config.account_of(site)
        gate = self._gates.setdefault(account.username, MinuteGate())
        return Weights(Wms(self._session(account), config.wms_url, self._net_ms, gate), config.weight_rules)

    async def push(self, items: Sequence[Item]) -> list[PushResult]:
        return await self.pusher.push(items)

    async def draft_discard(self, order: DiscardOrder) -> Draft:
        return await self.discards(order.site).draft(order)

    async def post_discard(self, draft: Draft, person: Person) -> PostResult:
        return await self.discards(draft.order.site).post(draft, person)

    async def post_weight(self, bag: BagLabel, weighing: BagWeight) -> PostResult:
        return await self.weights(bag.site).post(bag, weighing)
