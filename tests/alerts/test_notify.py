"""Telling people through the real Apprise: mail to a local SMTP server, chat to a local HTTP server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from alerts.notify import Message, Notifier, channel_name
from alerts.telling import tell
from api.words import Words
from gateway.records import Actor, Role
from telemetry.errors import NeighbourDownError

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
SECRET = "s3cr3t-word"
# Apprise loads all of its channels at first use, one of which imports something that Python calls old.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def notifier(world: Any, **more: Any) -> Notifier:
    words = {language: Words(language) for language in ("id", "en")}
    return Notifier(
        world.records,
        world.clock,
        dict(words),
        lambda ms, zone, language: words[language].time(ms, zone),
        "https://iot.example",
        **more,
    )


def heat(world: Any) -> None:
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)


@dataclass
class Channel:
    """Stands for Apprise where the channel is not the question."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    answer: Callable[[str], bool] = lambda _: True

    def __call__(self, url: str, message: Message) -> bool:
        ok = self.answer(url)
        if ok:
            self.sent.append((url, message))
        return ok


def test_req_35_each_person_once_per_channel_in_their_language(
    world: Any, sink: Any, person: Callable[..., Any]
) -> None:
    """Through Apprise: Sari (Bahasa Indonesia) by mail and chat, Ann (English) by mail; nobody twice."""
    person("Sari", sink.mail_url("sari@site.example"), sink.chat_url("ward"))
    person("Ann", sink.mail_url("ann@site.example"), language="en")
    person("Elsewhere", sink.mail_url("no@site.example"), site=None)
    heat(world)
    tell_people = notifier(world)
    assert tell_people()
    assert not tell_people()
    assert sorted(sink.recipients) == ["ann@site.example", "sari@site.example"]
    by_name = {str(m["To"]): m for m in sink.mails}
    mine = next(m for to, m in by_name.items() if "sari" in to)
    hers = next(m for to, m in by_name.items() if "ann" in to)
    assert mine["Subject"] == "Alarm: Terlalu panas terlalu lama – Kulkas F1, Puskesmas Abepura"
    assert hers["Subject"] == "Alarm: Too warm for too long – Kulkas F1, Puskesmas Abepura"
    text = mine.get_body(("plain", "html")).get_content()
    for word in ("8,5 °C", "WIT", "pindahkan vaksin", "https://iot.example/sites/"):
        assert word in text
    english = hers.get_body(("plain", "html")).get_content()
    for word in ("8.5 °C", "move the vaccines", "Read the VVM"):
        assert word in english
    ((path, post),) = sink.posts
    assert path == "/ward"
    assert "Terlalu panas" in post["title"]
    assert "8,5 °C" in post["message"]


def test_again_after_a_restart_none(world: Any, sink: Any, person: Callable[..., Any]) -> None:
    person("Sari", sink.mail_url("sari@site.example"), sink.chat_url("ward"))
    heat(world)
    notifier(world)()
    world.again()
    assert not notifier(world)()
    assert (len(sink.mails), len(sink.posts)) == (1, 1)


def test_a_failing_channel_is_tried_again_after_five_minutes_and_holds_nobody_up(
    world: Any, sink: Any, person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    person("Sari", sink.chat_url("ward"), sink.mail_url("sari@site.example"))
    sink.chat_status = 503
    heat(world)
    tell_people = notifier(world)
    assert tell_people()
    assert (len(sink.mails), len(sink.posts)) == (1, 1)
    sink.chat_status = 200
    world.clock.wall_ms += 299_000
    assert not tell_people()
    assert len(sink.posts) == 1
    world.clock.wall_ms += 1_000
    assert tell_people()
    assert (len(sink.mails), len(sink.posts)) == (1, 2)
    states = {n.channel.partition("-")[0]: (str(n.state), n.attempts) for n in world.records.notifications()}
    assert states == {"mailto": ("sent", 1), "json": ("sent", 2)}
    assert caplog.text.count("could not be told") == 1


def test_no_secret_reaches_a_log_or_the_records(
    world: Any, sink: Any, person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """At the most talkative level, with channels that work, refuse, are not there, and are no URL at all."""
    caplog.set_level(logging.DEBUG)
    dead = f"json://user:{SECRET}@127.0.0.1:1/x-{SECRET}"
    nonsense = f"nosuchchannel://{SECRET}@host/{SECRET}"
    broken = f"mailto://user:{SECRET}@@@"
    person("Sari", sink.mail_url("sari@site.example"), sink.chat_url(f"bot{SECRET}"), dead, nonsense, broken)
    sink.chat_status = 500
    heat(world)
    notifier(world)()
    assert len(sink.mails) == 1
    assert caplog.text.count("could not be told") == 4
    assert SECRET not in caplog.text
    assert SECRET not in repr(world.records.notifications())
    assert SECRET not in repr([(r.old, r.new) for r in world.records.changes_after(0, 5000)])


def test_a_channel_that_raises_is_one_that_failed(
    world: Any, person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    person("Sari", "json://a", "json://b")

    def answer(url: str) -> bool:
        if url == "json://a":
            raise RuntimeError(f"bad {url}?token={SECRET}")
        return True

    channel = Channel(answer=answer)
    heat(world)
    assert notifier(world, send=channel)()
    assert [url for url, _ in channel.sent] == ["json://b"]
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


def test_an_alarm_that_only_moved_is_not_told_again(world: Any, person: Callable[..., Any], start: int) -> None:
    """Late data find an earlier beginning: another finding, the same question."""
    person("Sari", "json://a")
    channel = Channel()
    world.alerts.start()
    world.say(*world.temperatures(2, 12, "8.1"))
    world.at(12)
    tell_people = notifier(world, send=channel)
    assert tell_people()
    world.say(*world.temperatures(1, 1.75, "8.1"))
    world.at(12.1)
    world.say(*world.temperatures(0, 0.75, "8.1"))
    world.at(12.2)
    assert len(world.records.open_alarms()) == 1
    assert not tell_people()
    assert not notifier(world, send=channel)()
    assert len(channel.sent) == 1


def test_possible_that_becomes_confirmed_is_told_again_and_once(
    world: Any, person: Callable[..., Any], start: int
) -> None:
    """cold-chain 6, 8: somebody who looked at "possible" must hear "confirmed"."""
    person("Ann", "json://a", language="en")
    channel = Channel()
    world.alerts.start()
    hot = world.temperatures(0, 4.75, "8.5") + world.temperatures(6.5, 11.25, "8.5")
    world.say(*hot, *world.temperatures(11.5, 13, "5.0"))
    world.at(13)
    tell_people = notifier(world, send=channel)
    tell_people()
    heats = [m.title for _, m in channel.sent if "warm" in m.title]
    assert heats == [
        "Alarm: Too warm for too long (possible: some of the time is unknown) – Kulkas F1, Puskesmas Abepura"
    ]
    world.say(*world.temperatures(5, 6.25, "8.6"))
    world.at(13.1)
    tell_people()
    tell_people()
    notifier(world, send=channel)()
    heats = [m.title for _, m in channel.sent if "warm" in m.title]
    assert heats[1:] == ["Alarm: Too warm for too long – Kulkas F1, Puskesmas Abepura"]


def test_an_alarm_that_fell_and_came_back_is_told_again(world: Any, person: Callable[..., Any], start: int) -> None:
    person("Ann", "json://a", language="en")
    channel = Channel()
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    tell_people = notifier(world, send=channel)
    tell_people()
    room = {"profile": "room"}
    fridge = world.records.equipment("F1")
    for hour, profile in ((10.1, room), (10.2, {"profile": "refrigerator"})):
        world.records.upsert_equipment(_with(fridge, profile), SARI, "tried", world.clock.wall_ms)
        world.at(hour)
    tell_people()
    notifier(world, send=channel)()
    assert len(channel.sent) == 2


def _with(value: Any, changes: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(value, **changes)


def test_silence_has_words_without_a_temperature(world: Any, person: Callable[..., Any]) -> None:
    person("Sari", "json://a")
    channel = Channel()
    world.alerts.start()
    world.say(*world.temperatures(0, 1, "5.0"))
    world.at(2)
    notifier(world, send=channel)()
    ((_, message),) = channel.sent
    assert "tidak mengirim data" in message.title
    assert "°C" not in message.body
    assert "Periksa alat ukur" in message.body


def test_a_batchs_own_alarm_names_the_vaccine(world: Any, person: Callable[..., Any], start: int) -> None:
    person("Ann", "json://a", language="en")
    channel = Channel()
    world.batch("B1")
    world.alerts.start()
    world.say(*world.temperatures(0, 5.75, "9.0"), *world.temperatures(6, 10.25, "5.0"))
    world.say(*world.temperatures(0, 5.75, "5.0", "LOG-B"), *world.temperatures(6, 10.25, "9.0", "LOG-B"))
    world.clock.wall_ms = start + int(10.25 * HOUR)
    world.records.move_batch("B1", "F2", start + 6 * HOUR, SARI, "moved", world.clock.wall_ms)
    world.turn()
    notifier(world, send=channel)()
    assert [m.title for _, m in channel.sent] == [
        "Alarm: Too warm for too long – vaccine vaccine, batch BN1, Puskesmas Abepura"
    ]


@pytest.mark.parametrize("code", ["HEAT", "FRZE", "SILENT", "COLD", "LOW", "FREEZE_POSSIBLE", "HEAT_45", "NEW_CODE"])
@pytest.mark.parametrize("language", ["id", "en", "xx"])
def test_every_code_has_words(world: Any, code: str, language: str) -> None:
    from dataclasses import replace

    heat(world)
    (alarm,) = world.records.open_alarms()
    message = notifier(world).compose(replace(alarm, finding=replace(alarm.finding, code=code)), language)
    assert "{" not in message.title + message.body
    assert "None" not in message.body
    assert (code == "NEW_CODE") == (code in message.title)


def test_an_answered_alarm_is_not_told(world: Any, person: Callable[..., Any]) -> None:
    person("Sari", "json://a")
    channel = Channel()
    heat(world)
    (alarm,) = world.records.open_alarms()
    world.records.acknowledge(alarm.id, SARI, "moved", world.clock.wall_ms)
    assert not notifier(world, send=channel)()
    assert channel.sent == []


def test_a_claim_of_a_killed_process_is_taken_up_after_five_minutes(world: Any, person: Callable[..., Any]) -> None:
    person("Sari", "json://a")
    channel = Channel()
    heat(world)
    (alarm,) = world.records.open_alarms()
    assert world.records.claim_notification(alarm.id, "Sari", channel_name("json://a"), world.clock.wall_ms)
    assert not notifier(world, send=channel)()
    world.clock.wall_ms += 300_000
    assert notifier(world, send=channel)()


def test_the_telling_thread_outlives_everything_and_says_it_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    halt, news = threading.Event(), threading.Event()
    faults: list[Exception | None] = [
        RuntimeError(SECRET),
        RuntimeError(SECRET),
        NeighbourDownError("records", "x"),
        None,
    ]

    def notify() -> bool:
        fault = faults.pop(0)
        if not faults:
            halt.set()
        news.set()
        if fault is not None:
            raise fault
        return True

    tell(notify, halt, news, 10.0)
    assert caplog.text.count("cannot be told now") == 2
    assert caplog.text.count("told again") == 1
    assert SECRET not in caplog.text


def test_a_channel_that_hangs_does_not_hold_the_rules_up(world: Any, start: int) -> None:
    """The service as ``smile-iot`` runs it: the mail server never answers, the next alarm is found all the same."""
    from alerts import service
    from alerts.config import Config

    hung, release = threading.Event(), threading.Event()

    def notify() -> bool:
        if world.records.open_alarms():
            hung.set()
            release.wait(30)
        return False

    world._memories.pop().close()
    config = Config(memory_path=world.folder / "alerts.db", poll_s=0.02, tell_poll_s=0.02)

    def second_alarm() -> None:
        assert hung.wait(60)
        world.say(*world.temperatures(0, 10, "8.5", "LOG-B"))
        deadline = time.monotonic() + 20
        while len(world.found("HEAT", "F2")) != 1 and time.monotonic() < deadline:
            time.sleep(0.02)

    async def story() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(config, world.clock, world.journal, world.records, notify, stop))
        world.clock.wall_ms = start + 10 * HOUR
        world.say(*world.temperatures(0, 10, "8.5"))
        await asyncio.to_thread(second_alarm)
        release.set()
        stop.set()
        await running

    asyncio.run(story())
    assert len(world.found("HEAT", "F2")) == 1


def test_who_was_told_of_an_alarm_that_is_no_longer_open_is_not_kept_in_memory(
    world: Any, person: Callable[..., Any]
) -> None:
    """The records know it; the service may run for years."""
    person("Sari", "json://chat/ward")
    heat(world)
    channel = Channel()
    tell_people = notifier(world, send=channel)
    assert tell_people()
    assert len(tell_people._told) == 1
    for alarm in world.records.open_alarms():
        world.records.acknowledge(alarm.id, SARI, "moved the vaccine", world.clock.wall_ms)
    assert not tell_people()
    assert tell_people._told == set()
    assert len(channel.sent) == 1


def test_told_to_stop_it_notes_the_message_in_hand_and_claims_no_other(
    world: Any, person: Callable[..., Any]
) -> None:
    """An orderly stop cuts nobody off between sending and noting: no message leaves twice for it (decision 0028)."""
    person("Sari", "json://chat/sari")
    person("Wati", "json://chat/wati")
    heat(world)
    stopped = threading.Event()
    channel = Channel(answer=lambda _: stopped.set() or True)  # told to stop while the first message is on its way
    assert notifier(world, send=channel, is_halted=stopped.is_set)()
    assert len(channel.sent) == 1
    assert [str(n.state) for n in world.records.notifications()] == ["sent"]
    assert not notifier(world, send=channel, is_halted=stopped.is_set)()
    assert notifier(world, send=channel)()
    assert sorted(url for url, _ in channel.sent) == ["json://chat/sari", "json://chat/wati"]
