"""Who is told when, through the real records: the night, the ladder, the list, and what was taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from alerts.amended import NOTHING_SAID
from alerts.manners import Manners
from alerts.notify import Message, Notifier
from alerts.recovery import MemoryValues
from api.words import Words
from gateway.records import Actor, Role, User

MIN = 60_000
HOUR = 60 * MIN
SARI = Actor("Sari", Role.MANAGER)
WIT = 9  # Asia/Jayapura; the stories begin at midnight in UTC


@dataclass
class Channel:
    sent: list[tuple[str, Message]] = field(default_factory=list)

    def __call__(self, url: str, message: Message) -> bool:
        self.sent.append((url, message))
        return True

    def told(self) -> list[str]:
        return [url.partition("//")[2] for url, _ in self.sent]


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def tell(world: Any, channel: Channel) -> Callable[..., bool]:
    words = {language: Words(language) for language in ("id", "en")}

    def make(**manners: Any) -> bool:
        return Notifier(
            world.records,
            world.clock,
            dict(words),
            lambda ms, zone, language: words[language].time(ms, zone),
            "https://iot.example",
            channel,
            Manners(**manners),
            MemoryValues(world.folder / "alerts.db", lambda _: NOTHING_SAID),
        )()

    return make


def head_of_region(world: Any) -> None:
    user = User("Kepala", Role.MANAGER, None, "jayapura", "en", "$argon2id$x", ("json://kepala",))
    world.records.upsert_user(user, Actor("root", Role.SUPER_ADMIN), "", world.clock.wall_ms)


def at(world: Any, hour_wit: float) -> None:
    world.at(hour_wit - WIT)


def test_the_next_person_is_told_when_nobody_answered_and_not_when_somebody_did(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    person("Sari", "json://sari")
    head_of_region(world)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"), *world.temperatures(0, 10, "8.5", "LOG-B"))
    world.at(10)
    assert tell()
    assert channel.told() == ["sari", "sari"]
    (answered,) = world.found("HEAT", "F2")
    world.records.acknowledge(answered.id, SARI, "moved", world.clock.wall_ms + 20 * MIN)
    world.clock.wall_ms += 30 * MIN - 1
    assert not tell()
    world.clock.wall_ms += 1
    assert tell()
    assert channel.told() == ["sari", "sari", "kepala"]
    assert "Kulkas F1" in channel.sent[-1][1].title
    assert not tell()


def test_where_a_site_has_nobody_the_region_is_told_at_once(
    world: Any, tell: Callable[..., bool], channel: Channel
) -> None:
    head_of_region(world)
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    assert tell()
    assert channel.told() == ["kepala"]


def test_smile_13_a_past_that_is_found_at_night_is_told_in_the_morning_in_one_list(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    """Late data of smile-and-waste 13, found at 22:00 in Jayapura: on the page at once, told at 07:00, once."""
    person("Sari", "json://sari")
    world.alerts.start()
    at(world, 12)
    for serial in ("LOG-A", "LOG-B"):
        world.say(*world.temperatures(-30, -19, "9.0", serial), *world.temperatures(-18.75, 13, "5.0", serial))
    at(world, 22)
    heats = [*world.found("HEAT", "F1"), *world.found("HEAT", "F2")]
    assert {f.id for f in heats} <= {a.id for a in world.records.open_alarms()}
    assert not tell()
    world.say(*world.temperatures(13.25, 22, "5.0"), *world.temperatures(13.25, 22, "5.0", "LOG-B"))
    at(world, 30.99)
    assert not tell()
    at(world, 31)
    assert tell()
    ((_, message),) = channel.sent
    assert message.title == "2 alarm menunggu jawaban – Puskesmas Abepura"
    assert [line.count("Kulkas F") for line in message.body.splitlines() if line.startswith("-")] == [1, 1]
    assert "Terlalu panas" in message.body
    assert not tell()


def test_what_goes_on_is_told_at_night(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    """Nothing present is hidden: late data that show a refrigerator hot until now wake a person at 22:00."""
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(*world.temperatures(2, 13, "9.0"))
    at(world, 22)
    assert tell()
    assert len(channel.sent) == 1


def test_req_8_who_was_told_is_told_by_day_that_late_data_took_it_back(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    """Requirement 8, last half: the missing six show 5.0; HEAT possible is withdrawn, and Sari hears of it once."""
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(*world.temperatures(0, 4.75, "8.5"), *world.temperatures(6.5, 11.25, "8.5"))
    world.at(11.5)  # 20:30 in Jayapura
    assert tell()
    assert "mungkin" in channel.sent[0][1].title
    world.say(*world.temperatures(5, 6.25, "5.0"), *world.temperatures(11.5, 13, "5.0"))
    world.at(13)  # 22:00
    (heat,) = world.found("HEAT")
    assert str(heat.kind) == "withdrawn"
    assert not tell()
    world.say(*world.temperatures(13.25, 22, "5.0"))
    world.at(22)  # 07:00
    assert tell()
    titles = [message.title.partition(" – ")[0] for _, message in channel.sent[2:]]  # the silence in between fell too
    assert sorted(titles) == [
        "Alarm dicabut: Alat ukur tidak mengirim data",
        "Alarm dicabut: Terlalu panas terlalu lama",
    ]
    assert not tell()
    states = [(str(s.state.kind), s.at_ms) for s in world.records.finding_history(heat.id)]
    assert [kind for kind, _ in states] == ["possible", "withdrawn"]
    assert "rule refrigerator/HEAT: possible -> withdrawn" in {
        r.reason for r in world.records.audit_of(f"finding:{heat.id}")
    }


def test_an_alarm_that_moved_is_not_taken_back(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(*world.temperatures(2, 12, "8.1"))
    world.at(12)
    assert tell()
    world.say(*world.temperatures(0, 1.75, "8.1"))
    world.at(24)
    assert [str(f.kind) for f in world.found("HEAT")].count("withdrawn") == 1
    sent = [m.title for _, m in channel.sent]
    tell()
    assert not [m.title for _, m in channel.sent[len(sent) :] if "dicabut" in m.title]


def test_an_episode_that_comes_back_within_the_flap_delay_is_the_same_trouble(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    """Both findings stand and both alarms ask on the page; the second message waits for the day."""
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"), world.reading(world.clock.wall_ms + int(10.25 * HOUR), "7.9"))
    world.at(10.25)
    assert not tell(flap_delay_s=1800)
    world.clock.wall_ms += 30 * MIN
    tell(flap_delay_s=1800)
    first = len(channel.sent)
    world.say(*world.temperatures(10.5, 20.5, "8.5"))
    world.at(20.5)  # 05:30 in Jayapura
    assert len(world.found("HEAT")) == 2
    tell(flap_delay_s=1800)
    assert not [m for _, m in channel.sent[first:] if m.title.startswith("Alarm: Terlalu panas")]
    world.say(*world.temperatures(20.75, 23, "8.5"))
    world.at(23)
    tell(flap_delay_s=1800)
    assert "masih berlangsung" in channel.sent[-1][1].body


def test_what_goes_on_wakes_a_person_though_the_like_episode_just_before_it_waits_untold_for_the_day(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    """Found at 06:00: HEAT over for ten hours, and HEAT that goes on. Nobody was told of the first: the second is news."""
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(
        *world.temperatures(0, 10.25, "8.5"),
        world.reading(world.clock.wall_ms + int(10.5 * HOUR), "7.9"),
        *world.temperatures(10.75, 21, "9.5"),
    )
    world.at(21)  # 06:00 in Jayapura
    assert len(world.found("HEAT")) == 2
    assert not tell(flap_delay_s=1800)
    world.clock.wall_ms += 30 * MIN
    tell(flap_delay_s=1800)
    heats = [m for _, m in channel.sent if m.title.startswith("Alarm: Terlalu panas")]
    assert len(heats) == 1
    assert "9,5" in heats[0].body


def test_an_episode_over_within_the_flap_delay_wakes_nobody_after_it(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    person("Sari", "json://sari")
    world.alerts.start()
    world.say(*world.temperatures(5, 15, "8.5"), *world.temperatures(15.25, 15.5, "5.0"))
    world.at(15.25)  # 00:15 in Jayapura
    assert not tell(flap_delay_s=1800)
    world.clock.wall_ms += HOUR
    assert not tell(flap_delay_s=1800)
    world.say(*world.temperatures(15.75, 22, "5.0"))
    world.at(22)
    assert tell(flap_delay_s=1800)
    assert channel.sent[-1][1].body.count("Terlalu panas") == 1


def test_req_35_answer_and_resolve_times(world: Any) -> None:
    """Alarm 10:00, acknowledged 10:25, resolved 12:00: 25 and 120 minutes."""
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    (heat,) = world.found("HEAT")
    world.at(10 + 25 / 60)
    world.records.acknowledge(heat.id, SARI, "moved the vaccines", world.clock.wall_ms)
    world.say(*world.temperatures(10.25, 11.75, "8.5"), *world.temperatures(12, 12.25, "5.0"))
    world.at(12.25)
    alarm = world.records.alarm(heat.id)
    assert (alarm.answer_ms, alarm.resolve_ms) == (25 * MIN, 120 * MIN)


@pytest.mark.parametrize(("lowest", "told"), [("7.6", False), ("7.5", True)])
def test_a_recovery_by_less_than_the_band_is_the_same_trouble(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel, lowest: str, told: bool
) -> None:
    """Band 0.5 below 8.0: back to 7.6 is none, to 7.5 is one. Findings and open alarms are the same in both."""
    person("Sari", "json://sari")
    band = Decimal("0.5")
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    assert tell(hysteresis_c=band)
    world.say(*world.temperatures(10.25, 10.25, "7.9"), *world.temperatures(10.5, 10.5, lowest))
    world.say(*world.temperatures(10.75, 21, "8.5"))
    world.at(21)  # 06:00 in Jayapura
    heats = world.found("HEAT")
    assert len(heats) == 2
    assert {f.id for f in heats} <= {a.id for a in world.records.open_alarms()}
    first = len(channel.sent)
    tell(hysteresis_c=band)
    assert len([m for _, m in channel.sent[first:] if m.title.startswith("Alarm: Terlalu panas")]) == int(told)
    world.say(*world.temperatures(21.25, 22, "8.5"))
    world.at(22)  # 07:00
    assert tell(hysteresis_c=band) is not told
    assert not tell(hysteresis_c=band)


@pytest.mark.parametrize(("profile", "told"), [("refrigerator", False), ("freezer", True)])
def test_a_profile_has_a_band_of_its_own(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel, profile: str, told: bool
) -> None:
    """Back to 7.9: no recovery under a band of 0.5 of the refrigerators, one where only freezers have a band."""
    person("Sari", "json://sari")
    manners = {"of_profile": {profile: Decimal("0.5")}}
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    assert tell(**manners)
    world.say(*world.temperatures(10.25, 10.5, "7.9"), *world.temperatures(10.75, 21, "8.5"))
    world.at(21)  # 06:00 in Jayapura
    first = len(channel.sent)
    tell(**manners)
    assert len([m for _, m in channel.sent[first:] if m.title.startswith("Alarm: Terlalu panas")]) == int(told)


def test_a_second_episode_is_told_when_the_first_was_answered_whatever_the_band(
    world: Any, person: Callable[..., Any], tell: Callable[..., bool], channel: Channel
) -> None:
    person("Sari", "json://sari")
    band = Decimal("0.5")
    world.alerts.start()
    world.say(*world.temperatures(0, 10, "8.5"))
    world.at(10)
    assert tell(hysteresis_c=band)
    (heat,) = world.found("HEAT")
    world.records.acknowledge(heat.id, SARI, "door closed", world.clock.wall_ms)
    world.say(*world.temperatures(10.25, 10.25, "7.9"), *world.temperatures(10.5, 21, "8.5"))
    world.at(21)
    first = len(channel.sent)
    tell(hysteresis_c=band)
    assert [m for _, m in channel.sent[first:] if m.title.startswith("Alarm: Terlalu panas")]
