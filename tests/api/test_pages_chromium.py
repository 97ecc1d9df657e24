"""The pages in a real Chromium, in a phone's viewport and both languages: log in, look, acknowledge, decide, weigh.

Needs Debian's ``chromium``. Screenshots are kept in ``build/screenshots``.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from api.app import create_app
from api.config import Settings
from api.questions import LedgerBook
from api.words import Words
from gateway.records import Actor

CHROMIUM = Path("/usr/bin/chromium")
SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PASSWORD = "rahasia-sekali"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server",
]  # fmt: skip
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}

pytestmark = pytest.mark.neighbour("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: apt-get install -y --no-install-recommends chromium")
        pytest.skip("not run: chromium is not installed (apt-get install -y --no-install-recommends chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def address(world: Any) -> Iterator[str]:
    """The application behind a real uvicorn on a free port of this machine."""
    desk = world.app.state.desk
    app = create_app(
        world.records,
        world.store,
        world.clock,
        Settings(secure_cookies=False, waste=desk.settings.waste),
        profiles=desk.questions.profiles,
        products=desk.products,
        read_ledger=lambda: LedgerBook(world.ledger),
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listener.close()


class Person:
    """One person at one screen, with no script allowed: the pages must work without."""

    def __init__(self, browser: Browser, address: str, language: str, screen: dict[str, int] = PHONE) -> None:
        locale = "id-ID" if language == "id" else "en-GB"
        context = browser.new_context(
            viewport=screen,  # type: ignore[arg-type]
            device_scale_factor=2,
            locale=locale,
            java_script_enabled=False,
        )
        self.page: Page = context.new_page()
        self.address, self.words = address, Words(language)
        self.bad: list[str] = []
        # ERR_ABORTED is only a page that was left before it had come.
        self.page.on("requestfailed", lambda r: None if r.failure == "net::ERR_ABORTED" else self.bad.append(r.url))
        self.page.on("request", lambda r: None if r.url.startswith((address, "data:")) else self.bad.append(r.url))

    def log_in(self, name: str) -> None:
        self.page.goto(f"{self.address}/")
        self.page.get_by_label(self.words("login.name")).fill(name)
        self.page.get_by_label(self.words("login.password")).fill(PASSWORD)
        self.page.get_by_role("button", name=self.words("login.do")).click()
        expect(self.page).not_to_have_url(re.compile("/login"))
        self.page.wait_for_load_state()

    def go(self, path: str) -> None:
        self.page.goto(f"{self.address}{path}")

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=True)

    def fits(self) -> None:
        """Nothing sticks out to the right: a phone never scrolls the page sideways."""
        box = self.page.locator("main").bounding_box()
        header = self.page.locator("header").bounding_box()
        assert box is not None
        assert header is not None
        assert box["x"] >= 0
        assert header["width"] <= self.page.viewport_size["width"]  # type: ignore[index]
        for table in self.page.locator("main table.stack").all():
            wide = table.bounding_box()
            assert wide is not None
            assert wide["x"] + wide["width"] <= box["x"] + box["width"] + 1


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_health_workers_day_on_a_phone(browser: Browser, address: str, world: Any, language: str) -> None:
    """Log in, see the fridge and its chart, answer the alarm, weigh a bag; a manager then decides on the batch."""
    me = Person(browser, address, language)
    w = me.words
    me.go("/")
    expect(me.page.locator("html")).to_have_attribute("lang", language)
    me.shot(f"{language}-1-login")
    me.log_in("operator")
    expect(me.page.get_by_role("heading", level=1)).to_have_text("Puskesmas Sentani")
    if language != "id":  # the account speaks Bahasa; the person chooses
        me.page.get_by_role("link", name="English").click()
    expect(me.page.get_by_text(w("site.alarms", n=1))).to_be_visible()
    me.fits()
    me.shot(f"{language}-2-site")

    me.page.get_by_role("link", name="Kulkas A").click()
    chart = me.page.get_by_role("img", name=w("chart.title", name="Kulkas A"))
    expect(chart).to_be_visible()
    expect(me.page.locator("svg.chart rect.unknown")).not_to_have_count(0)
    me.shot(f"{language}-3-chart")
    me.page.get_by_text(w("chart.table")).click()
    expect(me.page.get_by_role("columnheader", name=w("chart.hour"), exact=True)).to_be_visible()
    me.shot(f"{language}-3-equipment")

    me.page.get_by_role("navigation").get_by_role("link", name=w("nav.alarms")).click()
    me.shot(f"{language}-4-alarms")
    me.page.get_by_label(re.compile(re.escape(w("alarms.comment")))).fill("Pintu ditutup, vaksin dipindahkan")
    me.page.get_by_role("button", name=re.compile(re.escape(w("alarms.do")))).click()
    expect(me.page.get_by_role("status")).to_have_text(w("done.acknowledged"))
    expect(me.page.get_by_text(w("alarms.none_open"))).to_be_visible()
    me.shot(f"{language}-5-alarms-answered")
    assert world.records.alarm("HEAT-1").acknowledged_by == "operator"

    me.page.get_by_role("navigation").get_by_role("link", name=w("nav.weighing")).click()
    me.page.get_by_label(re.compile("^" + re.escape(w("weigh.bag")))).first.fill("000120112026")
    me.shot(f"{language}-6-weighing")
    me.page.get_by_role("button", name=w("weigh.tie")).first.click()
    expect(me.page.get_by_role("status")).to_have_text(w("done.tied"))
    me.shot(f"{language}-7-weighing-tied")
    assert [x.tied_by for x in world.records.weighings("PKM-A", tied=True)] == ["operator"]

    me.page.get_by_role("navigation").get_by_role("link", name=w("nav.batches")).click()
    me.page.get_by_role("link", name=re.compile("B1-2411")).click()
    expect(me.page.get_by_text(w("decide.not_you"))).to_be_visible()
    me.shot(f"{language}-8-batch-operator")
    me.page.get_by_role("button", name=w("login.out")).click()

    me.log_in("manager")
    me.go("/sites/PKM-A/batches/B1")
    me.shot(f"{language}-9-batch-manager")
    me.page.get_by_label(re.compile(re.escape(w("decide.discarded")))).check()
    me.page.get_by_label(w("decide.reason_hint", name="manager")).fill("VVM tahap C pada semua vial")
    me.page.get_by_role("button", name=w("decide.do")).click()
    expect(me.page.get_by_role("heading", level=1)).to_have_text(w("decide.ask_title"))  # asked once more
    me.fits()
    me.shot(f"{language}-10-batch-asked-again")
    me.page.get_by_role("button", name=w("decide.ask_do")).click()  # the box is not ticked: the browser holds it back
    assert world.records.decision("B1") is None
    me.page.get_by_label(w("decide.ask_sure", number="B1-2411")).check()
    me.page.get_by_role("button", name=w("decide.ask_do")).click()
    expect(me.page.get_by_role("status")).to_have_text(w("done.decided"))
    me.shot(f"{language}-10-batch-decided")
    decision = world.records.decision("B1")
    assert (decision.decision, decision.decided_by) == ("discarded", "manager")
    for name in ("smile", "ledger", "quarantine", "audit"):
        me.go(f"/sites/PKM-A/{name}")
        expect(me.page.get_by_role("heading", level=1)).to_have_text(w(f"{name}.title"))
        me.fits()
        me.shot(f"{language}-{name}")
    me.go("/")
    me.shot(f"{language}-sites")
    me.go("/sites/PKM-C")
    expect(me.page.get_by_role("heading", level=1)).to_have_text(w("problem.region"))
    me.shot(f"{language}-problem")
    assert me.bad == []


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_verdict_with_its_picture_on_a_phone_and_on_paper(browser: Browser, address: str, language: str) -> None:
    """From the batch to what its verdict rests on; the picture is an image with a sentence; one sheet can be printed."""
    me = Person(browser, address, language)
    me.log_in("operator")
    me.go(f"/sites/PKM-A/batches/B1?lang={language}")
    me.page.get_by_role("link", name=me.words("verdict_page.open")).click()
    picture = me.page.get_by_role("img", name=me.words("verdict_page.picture", name="DPT-HB-Hib"))
    expect(picture).to_be_visible()
    expect(picture).to_have_accessible_name(re.compile(r"9[.,]3 °C"))  # a sentence for who does not see it
    me.fits()
    me.shot(f"{language}-verdict")
    printed = me.page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert me.bad == []


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_report_on_a_phone_and_on_paper(browser: Browser, address: str, world: Any, language: str) -> None:
    """An officer finds the report in the menu, asks for other days without a script, and prints it."""
    (sample,) = world.store.latest(["LOG-2/temperature_c"]).values()
    device = replace(world.records.device("LOG-2"), serial="EMD-1", driver="file", interval_s=900)
    boss = Actor("wiring", "super_admin")
    world.records.upsert_device(device, boss, "installed", world.clock.now)
    lapsed = replace(world.records.device("LOG-1"), calibrated_until_ms=world.clock.now - 7_200_000)
    world.records.upsert_device(lapsed, boss, "certificate", world.clock.now)
    for quantity, value in (("door_openings", "1"), ("door_open_s", "25"), ("mains_available_s", "0")):
        rows = [
            replace(sample, stream_id=f"EMD-1/{quantity}", t_ms=sample.t_ms - i * 900_000, value=Decimal(value))
            for i in range(20)
        ]
        world.store.append(rows)
    me = Person(browser, address, language)
    w = me.words
    me.log_in("manager")
    me.go(f"/sites/PKM-A?lang={language}")
    me.page.get_by_role("navigation").get_by_role("link", name=w("nav.report")).click()
    expect(me.page.get_by_role("heading", level=1)).to_have_text(w("report.title"))
    expect(me.page.get_by_text(w("report.too_little"))).to_have_count(3)
    me.page.get_by_text(w("report.other", n=92)).click()
    me.page.get_by_label(re.compile(re.escape(w("report.first")))).fill("2026-11-19")
    me.page.get_by_label(re.compile(re.escape(w("report.last")))).fill("2026-11-20")
    me.page.get_by_role("button", name=w("report.show")).last.click()
    expect(me.page).to_have_url(re.compile("from=2026-11-19&to=2026-11-20"))
    expect(me.page.get_by_text(w("report.left_out"))).to_be_visible()
    me.fits()
    for table in me.page.locator("main table").all():
        wide, card = table.bounding_box(), me.page.locator("main").bounding_box()
        assert wide is not None
        assert card is not None
        assert wide["x"] + wide["width"] <= card["x"] + card["width"] + 1
    me.shot(f"{language}-report")
    printed = me.page.pdf(format="A4", path=str(SHOTS / f"{language}-report.pdf"))
    assert printed.startswith(b"%PDF")
    me.page.emulate_media(media="print")
    expect(me.page.get_by_role("navigation")).to_be_hidden()
    expect(me.page.get_by_role("button", name=w("report.show")).first).to_be_hidden()
    me.page.set_viewport_size({"width": 794, "height": 1123})  # A4 at 96 dots an inch
    me.shot(f"{language}-paper-report")
    assert me.bad == []


def test_the_keyboard_alone_reaches_the_answer(browser: Browser, address: str) -> None:
    """Tab order: skip link first, then header and menu; the focus can be seen."""
    me = Person(browser, address, "en", DESK)
    me.log_in("operator")
    me.go("/sites/PKM-A/alarms?lang=en")
    me.page.keyboard.press("Tab")
    skip = me.page.get_by_role("link", name=me.words("page.skip"))
    expect(skip).to_be_focused()
    me.shot("en-keyboard-skip")
    me.page.keyboard.press("Enter")
    me.page.keyboard.press("Tab")
    expect(me.page.get_by_label(re.compile(re.escape(me.words("alarms.comment"))))).to_be_focused()
    me.page.keyboard.type("door closed")
    me.page.keyboard.press("Tab")
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_role("status")).to_have_text(me.words("done.acknowledged"))


def test_a_reading_that_cannot_be_is_marked_by_keyboard_on_a_phone(browser: Browser, address: str) -> None:
    """cold-chain.md 12: from the row of the reading to its mark; only the reason has to be typed."""
    me = Person(browser, address, "id")
    w = me.words
    me.log_in("operator")
    me.go("/sites/PKM-A/equipment/KULKAS-A/readings?lang=id")
    me.fits()
    me.page.get_by_role("link", name=re.compile(re.escape(w("readings.pick")))).first.press("Enter")
    me.fits()
    me.page.locator("#m-reason").press_sequentially("kabel longgar")
    me.page.keyboard.press("Tab")
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_role("status")).to_have_text(w("done.readings_marked"))
    expect(me.page.get_by_role("cell", name=re.compile(re.escape(w("readings.marked")))).first).to_be_visible()
    me.fits()
    me.shot("id-phone-readings")


def test_a_wide_screen(browser: Browser, address: str) -> None:
    """The same pages at a desk."""
    me = Person(browser, address, "en", DESK)
    me.log_in("manager")
    for name, path in (
        ("site", ""),
        ("equipment", "/equipment/KULKAS-A"),
        ("batch", "/batches/B1"),
        ("smile", "/smile"),
    ):
        me.go(f"/sites/PKM-A{path}?lang=en")
        me.shot(f"en-wide-{name}")
        me.fits()


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_scanner_types_into_the_focused_field_and_ends_with_enter(
    browser: Browser, address: str, world: Any, language: str
) -> None:
    """cold-chain.md 40: no mouse, no script. An unknown GTIN is linked by the manager, then the scan is answered."""
    me = Person(browser, address, language)
    w = me.words
    me.log_in("manager")
    me.go(f"/sites/PKM-A/scan?lang={language}")
    expect(me.page.locator("#scan")).to_be_focused()
    me.page.keyboard.insert_text("]d2010899123400001517271130" + "10B2-2411\x1d" + "21000123")
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_role("heading", name=w("scan_word.unknown_gtin"))).to_be_visible()
    me.fits()
    me.shot(f"{language}-scan-1-unknown")
    me.page.locator("#product").select_option("93001284")
    me.page.get_by_label(w("form.reason")).fill("dari kardus" if language == "id" else "from the carton")
    me.page.get_by_role("button", name=w("scan.link_do")).press("Enter")
    expect(me.page.get_by_text(w("scan.may_not"))).to_be_visible()  # nobody judged it yet
    me.shot(f"{language}-scan-2-not-judged")
    expect(me.page.locator("#scan")).to_be_focused()
    me.page.keyboard.insert_text("(01)08991234000016(10)B2-2411")
    me.page.keyboard.press("Enter")
    expect(me.page.get_by_role("alert")).to_contain_text("(01)08991234000016")
    me.shot(f"{language}-scan-3-check-digit")
    me.go("/sites/PKM-A/scan?code=(01)08991234000015(17)271130(10)NEW1")
    me.page.get_by_role("link", name=w("register.from_scan")).click()
    expect(me.page.get_by_label(w("field.batch_number"))).to_have_value("NEW1")
    me.fits()
    me.shot(f"{language}-scan-4-register")
    assert me.bad == []


@pytest.mark.parametrize("language", ["id", "en"])
def test_a_destruction_says_what_is_missing_until_it_is_closed(
    browser: Browser, address: str, world: Any, language: str
) -> None:
    """smile-and-waste.md 37, on a phone: 18 of 20 vials, then all, then closed."""
    case = world.destruction(third_party="PT Olah")
    me = Person(browser, address, language)
    w = me.words
    me.log_in("manager")
    me.go(f"/sites/PKM-A/destructions/{case}?lang={language}")
    expect(me.page.get_by_text(w("missing.third_party_report_missing", subject="PT Olah"))).to_be_visible()
    me.page.locator("#fill-bag").fill("000420112026")
    me.page.locator("#fill-vials").fill("18")
    me.page.locator("#fill-reason").fill("dihitung lagi")
    me.page.get_by_role("button", name=w("destruction.fill_do")).press("Enter")
    missing = me.page.get_by_text(w("missing.vials_missing", subject="93001284 B1-2411", n=2))
    expect(missing).to_be_visible()
    me.fits()
    me.shot(f"{language}-destruction-1-missing")
    me.page.locator("#fill-bag").fill("000420112026")
    me.page.locator("#fill-vials").fill("20")
    me.page.locator("#fill-reason").fill("dua vial ditemukan")
    me.page.get_by_role("button", name=w("destruction.fill_do")).press("Enter")
    expect(missing).to_have_count(0)
    me.page.locator("#report_no").fill("LP-7/2026")
    me.page.locator("#signed_by").fill("Rudi")
    me.page.locator("#report-reason").fill("surat dari PT Olah")
    me.page.get_by_role("button", name=w("destruction.report_do")).press("Enter")
    me.page.locator("#close-reason").fill("semua cocok")
    me.shot(f"{language}-destruction-2-complete")
    me.page.get_by_role("button", name=w("destruction.close_do")).press("Enter")
    expect(me.page.locator(".card.ok")).to_contain_text(w("destruction.closed"))
    me.shot(f"{language}-destruction-3-closed")
    me.go("/sites/PKM-A/destructions")
    me.fits()
    me.shot(f"{language}-destruction-4-list")
    assert world.records.destruction(case).closed_by == "manager"
    assert me.bad == []
