"""Run the SMILE adapter: journal and people's commands in, SMILE and ``attachments`` out.

One round is a list of small steps; each leaves what it did on disk before the next one begins, so a kill between any
two of them loses nothing and sends nothing twice. A step that fails by a neighbour (SMILE, database) waits and lets
the others go on. Waiting and retrying follow real time; readings are judged by the clock that was handed down.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from decimal import Decimal

from gateway.journal import Entry, Journal, open_journal
from gateway.records.errors import UnknownRecord
from gateway.records.model import (
    Attachment,
    AttachmentKind,
    AuditRow,
    Decision,
    Registry,
    SmileState,
    VerdictState,
)
from gateway.records.records import Records, open_records
from gateway.smile.config import Config
from gateway.smile.discards import DraftRefusedError
from gateway.smile.door import SmileDoor
from gateway.smile.feed import (
    Names,
    bag_label,
    bag_weight,
    discard_order,
    harvest,
    names,
    serials_of,
    verdict_word,
)
from gateway.smile.outbox import Post, SmileOutbox, State
from gateway.smile.port import Outcome, Person, PostResult, PushStatus
from gateway.smile.readback import Finding, Seen
from gateway.smile.retry import pause_ms
from telemetry.clock import Clock, SystemClock
from telemetry.contract import decode_upload
from telemetry.errors import ContractError, NeighbourDownError
from telemetry.readings import Event, Reading, Stamp, is_anchor

_LOG = logging.getLogger(__name__)
_JOURNAL = "journal"
_CHANGES = "changes"
_CORE, _MAIN = "smile core", "smile main"
_DAY_MS = 86_400_000
_GRACE_S = 5.0
_STATES = {
    Outcome.DONE: SmileState.STORED,
    Outcome.ALREADY: SmileState.STORED,
    Outcome.LOST: SmileState.UNCERTAIN,
    Outcome.HELD: SmileState.UNCERTAIN,
    Outcome.REFUSED: SmileState.REFUSED,
    Outcome.DATA: SmileState.REFUSED,
    Outcome.FORBIDDEN: SmileState.REFUSED,
    Outcome.CONFLICT: SmileState.REFUSED,
    Outcome.NOT_FOUND: SmileState.REFUSED,
}


async def run(config: Config, clock: Clock, stop: asyncio.Event) -> None:
    """Serve until ``stop``. Raises ConfigError for wrong settings or an account another process holds."""
    net = SystemClock()  # the network does not follow the virtual clock (design.md, Clock)
    with ExitStack() as stack:
        journal = open_journal(config.journal)
        stack.callback(journal.close)
        records = stack.enter_context(open_records(config.records))
        outbox = SmileOutbox(config.outbox_path, backfill_hold_ms=int(config.backfill_hold_s * 1000))
        stack.callback(outbox.close)
        async with SmileDoor(config, net.now_ms, clock.now_ms) as door:
            service = SmileService(config, clock, net.now_ms, journal, records, outbox, door)
            service.start()
            await _rounds(service, config.poll_s, stop)


async def _rounds(service: SmileService, poll_s: float, stop: asyncio.Event) -> None:
    """Rounds until ``stop``. A round that hangs on a dead link then gets a moment to end; what it leaves as sent is
    read back at the next start."""
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        while not stop.is_set():
            round_ = asyncio.create_task(service.step(), name="round")
            await asyncio.wait((round_, stopped), return_when=asyncio.FIRST_COMPLETED)
            try:
                busy = await asyncio.wait_for(round_, _GRACE_S if stop.is_set() else None)
            except TimeoutError:
                return
            if not busy:
                await asyncio.wait((stopped,), timeout=poll_s)
    finally:
        stopped.cancel()


class SmileService:
    """The rounds of the adapter; ``step`` once is one round."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        net_ms: Callable[[], int],
        journal: Journal,
        records: Records,
        outbox: SmileOutbox,
        door: SmileDoor,
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._net_ms = net_ms
        self._journal = journal
        self._records = records
        self._outbox = outbox
        self._door = door
        self._jitter = jitter or secrets.SystemRandom().random
        self._registry: Registry | None = None
        self._names = Names()
        self._failures = 0
        self._push_after_ms = 0
        self._attached_ms = 0
        self._attached: dict[str, str] = {}
        self._down: dict[str, str] = {}
        self._trouble: str | None = None

    def start(self) -> None:
        """What a dead process left as sent is uncertain; a journal that was restored is read from its beginning."""
        uncertain = self._outbox.recover(self._net_ms())
        if uncertain:
            _LOG.warning(
                "%d readings were on their way to SMILE when the process ended: reading them back", uncertain
            )
        if self._config.resend_uncertain:
            self._outbox.release_held(self._net_ms())
        if self._journal.last_offset() < self._outbox.position(_JOURNAL):
            _LOG.warning("the journal is behind the SMILE outbox (restored?): reading it from its beginning")
            self._outbox.set_position(_JOURNAL, 0)

    async def step(self) -> bool:
        """One round; True when there is more to do at once."""
        busy = False
        steps: tuple[Callable[[], Awaitable[bool]], ...] = (
            self._read_journal,
            self._read_changes,
            self._push,
            self._read_back,
            self._send_posts,
            self._attach,
        )
        for one in steps:
            try:
                busy = await one() or busy
            except NeighbourDownError as error:
                self._outage(one.__name__, str(error))
            else:
                self._back(one.__name__)
        return busy

    def _outage(self, what: str, text: str) -> None:
        """Log an outage once."""
        if what not in self._down:
            _LOG.warning("%s", text)
        self._down[what] = text

    def _back(self, what: str) -> None:
        """Log its end once."""
        text = self._down.pop(what, None)
        if text is not None:
            _LOG.info("over: %s", text)

    # --- journal -> outbox ------------------------------------------------------------------------------------

    def _known(self) -> Registry:
        version = self._records.registry_version()
        if self._registry is None or self._registry.version != version:
            self._registry = self._records.registry()
            self._names = names(self._registry.devices.values())
            for serial, why in self._names.refused.items():
                _LOG.error("device %s cannot be pushed to SMILE: %s", serial, why)
            self._outbox.retry_parked_now()  # someone worked on the registry: perhaps on SMILE's as well
        return self._registry

    async def _read_journal(self) -> bool:
        position = self._outbox.position(_JOURNAL)
        entries = self._journal.after(position, self._config.journal_entries)
        if not entries:
            return False
        registry = self._known()
        for offset, entry in entries:
            if entry.kind in ("readings", "events", "import"):
                self._take_entry(offset, entry, registry)
        self._outbox.set_position(_JOURNAL, entries[-1][0])
        return len(entries) == self._config.journal_entries

    def _take_entry(self, offset: int, entry: Entry, registry: Registry) -> None:
        try:
            facts = [n.fact for n in decode_upload(entry.payload).facts]
        except ContractError as error:
            _LOG.error("journal entry %d is not readable for SMILE: %s", offset, error)
            return
        anchors = [f.stamp for f in facts if isinstance(f, Event) and is_anchor(f)]
        edge = f"{entry.site}/{entry.edge}"
        self._take_readings([f for f in facts if isinstance(f, Reading)], registry, edge, anchors)
        while found := self._outbox.datable(edge):
            self._take_readings(found, registry, edge, [])

    def _take_readings(self, readings: list[Reading], registry: Registry, edge: str, anchors: list[Stamp]) -> None:
        last = {serial: self._outbox.beside(serial) for serial in serials_of(readings)}
        got = harvest(readings, registry, self._names, last, self._config, self._clock.now_ms())
        accepted = self._outbox.accept(
            got.found,
            now_ms=self._net_ms(),
            beside=got.beside,
            edge=edge,
            undated=got.undated,
            dated=[r for r in readings if r.sampled_at_ms is not None],
            anchors=anchors,
        )
        if accepted.conflicts:
            _LOG.warning("%d readings contradict ones already taken: the first values stand", accepted.conflicts)

    # --- outbox -> SMILE --------------------------------------------------------------------------------------

    async def _push(self) -> bool:
        now = self._net_ms()
        if now < self._push_after_ms:
            return False
        items = self._outbox.due(self._config.batch_limit, now)
        if not items:
            return False
        self._outbox.mark_sent(items, now)
        results = await self._door.push(items)
        now = self._net_ms()
        wait = pause_ms(self._failures + 1, self._jitter())
        self._outbox.settle(
            results, now, parked_retry_ms=int(self._config.unknown_device_again_s * 1000), pause_ms=wait
        )
        self._speak_of_parked(now)
        stop = next((r for r in results if r.status in (PushStatus.NOT_SENT, PushStatus.UNCERTAIN)), None)
        if stop is None:
            self._pushes_again()
            return True
        self._failures += 1
        again_ms = wait if stop.outcome.again else int(self._config.refused_again_s * 1000)
        self._push_after_ms = now + again_ms
        self._outage(_CORE, f"SMILE does not take readings ({stop.outcome}): {stop.text}")
        return False

    def _pushes_again(self) -> None:
        self._failures = 0
        self._push_after_ms = 0
        self._back(_CORE)

    def _speak_of_parked(self, now: int) -> None:
        for device, count in self._outbox.notices(now):
            _LOG.warning(
                "SMILE does not know the logger %s: %d readings wait; register it in SMILE under this serial",
                device,
                count,
            )

    async def _read_back(self) -> bool:
        """Ask SMILE's history about lost answers; what cannot be asked is held (duty 9)."""
        now = self._net_ms()
        due = self._outbox.uncertain(now - int(self._config.settle_s * 1000))
        due |= self._outbox.held(now - int(self._config.held_again_s * 1000))
        for device, items in due.items():
            witnesses = self._outbox.witnesses(device, items[0].sampled_at_ms)
            outcome, finding = await self._door.history.look(device, items, witnesses)
            if outcome.again:
                raise NeighbourDownError("SMILE's history", finding.text or outcome.value)
            if finding.shift_error_ms:
                self._door.pusher.disable_for_shift(items[0].route, finding.shift_error_ms)
            self._resolve(finding, now)
        return False

    def _resolve(self, finding: Finding, now: int) -> None:
        for key, seen in finding.seen.items():
            match seen:
                case Seen.STORED:
                    self._outbox.resolve(key, State.STORED, "read back", now)
                case Seen.ABSENT:
                    self._outbox.resolve(key, State.WAITING, "read back: not there", now)
                case Seen.UNSEEN if self._config.resend_uncertain:
                    self._outbox.resolve(key, State.WAITING, "sent again, a duplicate is accepted", now)
                case Seen.UNSEEN:
                    self._outbox.resolve(key, State.HELD, finding.text, now)

    # --- people's commands -> posts ---------------------------------------------------------------------------

    async def _read_changes(self) -> bool:
        position = self._outbox.position(_CHANGES)
        changes = self._records.changes_after(position, 500)
        for change in changes:
            if change.new is not None and change.kind == "verdict":
                self._verdict_changed(change)
            elif change.new is not None and change.kind == "weighing":
                self._weighing_changed(change)
            elif change.kind in ("vvm", "batch"):
                self._batch_changed(str(change.new_value.get("batch") or change.key))
        if changes:
            self._outbox.set_position(_CHANGES, changes[-1].id)
        return len(changes) == 500

    def _verdict_changed(self, change: AuditRow) -> None:
        verdict = self._records.verdict_by_id(change.key)
        if verdict.decision == Decision.DISCARDED:
            self._outbox.add_post(f"discard:{verdict.id}", "discard", {"verdict": verdict.id}, self._net_ms())
        elif verdict.state != VerdictState.WITHDRAWN and self._records.decision(verdict.batch) in (None, verdict):
            word = verdict_word(verdict)
            self._save(AttachmentKind.VERDICT, verdict.batch, _MAIN, "", SmileState.NO_FIELD, word, verdict.site)

    def _batch_changed(self, batch: str) -> None:
        """A VVM was read, or SMILE's ids were entered: what a refused discard may have waited for."""
        decided = self._records.decision(batch)
        if decided is not None and decided.decision == Decision.DISCARDED:
            self._outbox.retry_refused_now(f"discard:{decided.id}")

    def _weighing_changed(self, change: AuditRow) -> None:
        value = change.new_value
        weighing, bag = str(value.get("id")), value.get("bag")
        if bag:
            body = {"weighing": weighing, "bag": str(bag), "site": change.site}
            self._outbox.add_post(f"weight:{weighing}:{bag}", "weight", body, self._net_ms())

    async def _send_posts(self) -> bool:
        for post in self._outbox.due_posts(self._net_ms()):
            send = self._send_discard if post.kind == "discard" else self._send_weight
            try:
                result = await send(post)
            except UnknownRecord as error:
                result = PostResult(Outcome.REFUSED, str(error))
            now = self._net_ms()
            self._outbox.set_post(post.key, result.outcome, result.text, self._next_ms(post, result, now), now)
        return False

    def _next_ms(self, post: Post, result: PostResult, now: int) -> int | None:
        """When to try again; None: never, it is done or a person must act."""
        if result.outcome.done or result.outcome in (Outcome.DATA, Outcome.CONFLICT):
            return None
        if result.outcome is Outcome.LOST:
            return now + int(self._config.settle_s * 1000)
        if result.outcome.again:
            return now + pause_ms(post.attempts + 1, self._jitter())
        return now + int(self._config.refused_again_s * 1000)

    async def _send_discard(self, post: Post) -> PostResult:
        verdict = self._records.verdict_by_id(str(post.body["verdict"]))
        batch = self._records.batch(verdict.batch)
        findings = [self._records.finding(f) for f in verdict.findings]
        vvm = self._records.vvm_observations(batch.id)
        stage = str(vvm[-1].stage) if vvm else self._config.assumed_vvm
        order = discard_order(verdict, batch, findings, stage)
        digest = ""
        if isinstance(order, str):
            result = PostResult(Outcome.REFUSED, order)
        else:
            try:
                draft = await self._door.draft_discard(order)
                digest = _digest(draft.body)
                result = await self._door.post_discard(draft, Person(order.decided_by))
            except DraftRefusedError as error:
                result = PostResult(error.outcome, str(error))
        self._save(AttachmentKind.DISCARD, verdict.batch, _MAIN, digest, _state(result), _reply(result), verdict.site)
        return result

    async def _send_weight(self, post: Post) -> PostResult:
        weighing = self._records.weighing(str(post.body["weighing"]))
        bag = self._records.bag(str(post.body["site"]), str(post.body["bag"]))
        device = self._records.device(weighing.device)
        weight = bag_weight(weighing, device, self._config.bluetooth_drivers)
        result = await self._door.post_weight(bag_label(bag), weight)
        body = {"bag": bag.code, "weighing": weighing.id, "net_kg": str(weighing.net_kg), **result.detail}
        self._save(
            AttachmentKind.WEIGHT, weighing.id, bag.code, _digest(body), _state(result), _reply(result), bag.site
        )
        return result

    # --- what SMILE got -> records ----------------------------------------------------------------------------

    def _save(
        self, kind: AttachmentKind, subject: str, target: str, digest: str, state: SmileState, reply: str, site: str
    ) -> None:
        """Write it down if it says something new (``at_ms`` alone is nothing new)."""
        old = self._records.attachment(kind, subject, target)
        if old is not None and (old.digest, old.state, old.reply) == (digest, state, reply):
            return
        self._records.save_attachments(
            Attachment(kind, subject, target, digest, state, reply, self._clock.now_ms(), site)
        )

    async def _attach(self) -> bool:
        """Once in a while: what SMILE has of each logger's temperatures, one row per logger."""
        now = self._net_ms()
        if now < self._attached_ms + int(self._config.attach_every_s * 1000):
            return False
        self._attached_ms = now
        registry = self._known()
        by_name = {name: registry.device(serial) for (serial, _), name in self._names.of.items()}
        for device_id, counts in self._outbox.counts_by_device().items():
            device = by_name.get(device_id) or by_name.get(device_id.rpartition("-")[0])
            reply = json.dumps(counts, sort_keys=True)
            if device is None or self._attached.get(device_id) == reply:
                continue
            state = _temperature_state(counts)
            self._save(AttachmentKind.TEMPERATURES, device_id, _CORE, _digest(counts), state, reply, device.site)
            self._attached[device_id] = reply
        self._attach_trouble(registry)
        self._outbox.forget(self._clock.now_ms() - self._config.bounds.max_age_ms - 30 * _DAY_MS)
        return False

    def _attach_trouble(self, registry: Registry) -> None:
        """What a person must know of the adapter itself: at each site, subject "adapter SITE"."""
        texts = [t for t in (self._door.pusher.disabled, *self._down.values(), *self._names.refused.values()) if t]
        text = "; ".join(texts)[:2000]
        if text == self._trouble:
            return
        sites = list(registry.sites) if text or self._trouble else self._sites_in_trouble()
        state = SmileState.REFUSED if text else SmileState.STORED
        now = self._clock.now_ms()
        self._records.save_attachments(
            [
                Attachment(AttachmentKind.TEMPERATURES, f"adapter {site}", _CORE, "", state, text, now, site)
                for site in sites
            ]
        )
        self._trouble = text

    def _sites_in_trouble(self) -> list[str]:
        """Where an earlier process of ours left word of a trouble that is over now."""
        told = self._records.attachments(AttachmentKind.TEMPERATURES, states=[SmileState.REFUSED])
        return [a.site for a in told if a.subject == f"adapter {a.site}"]


def _state(result: PostResult) -> SmileState:
    return _STATES.get(result.outcome, SmileState.PENDING)


def _reply(result: PostResult) -> str:
    detail = {k: str(v) if isinstance(v, Decimal) else v for k, v in result.detail.items()}
    return json.dumps({"outcome": result.outcome, "text": result.text, **detail}, sort_keys=True)


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _temperature_state(counts: dict[str, int]) -> SmileState:
    """One word for a logger: the worst of what its readings became."""
    for state, word in (
        (State.UNKNOWN_DEVICE, SmileState.REFUSED),
        (State.UNCERTAIN, SmileState.UNCERTAIN),
        (State.HELD, SmileState.UNCERTAIN),
        (State.SENT, SmileState.PENDING),
        (State.WAITING, SmileState.PENDING),
        (State.STORED, SmileState.STORED),
    ):
        if counts.get(state):
            return word
    return SmileState.NONE
