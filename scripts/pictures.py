"""Pictures of the pages after the demo's script, as a phone shows them, in both languages (``scripts/evidence``)."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PAGES = {
    "site": "",
    "equipment": "/equipment/fridge-1",
    "equipment-limits": "/equipment/fridge-1/limits?code=HEAT&limit_c=9&after_min=600&days=3",
    "alarms": "/alarms",
    "use-first": "/use-first",
    "batch": "/batches/PB-2603",
    "batch-shake-test": "/batches/HB-2602",
    "weighing": "/weighing",
    "smile": "/smile",
    "ledger": "/ledger",
    "quarantine": "/quarantine",
    "audit": "/audit",
    "report": "/report",
}
# Page to begin at -> the link to follow from there: its id is given by the run.
FOLLOWED = {
    "verdict": ("/batches/PB-2603", "/verdicts/"),
    "verdict-shake-test": ("/batches/HB-2602", "/verdicts/"),
    "alarm": ("/alarms", "/alarms/"),
}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def shoot(page: Page, base: str, folder: Path, language: str) -> None:
    for name, path in PAGES.items():
        page.goto(f"{base}/sites/pkm-contoh{path}")
        page.screenshot(path=folder / f"{name}-{language}.png", full_page=True)
    for name, (path, link) in FOLLOWED.items():
        page.goto(f"{base}/sites/pkm-contoh{path}")
        page.goto(base + str(page.locator(f'main a[href*="{link}"]').first.get_attribute("href")))
        page.screenshot(path=folder / f"{name}-{language}.png", full_page=True)


def main(folder: Path) -> None:
    """Play the demo, log in as the manager, and keep a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = subprocess.Popen([sys.executable, "-u", "-m", "smile_iot", "demo"], stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        while "log in as rina" not in said:
            line = demo.stdout.readline() if demo.stdout else ""
            if not line:
                sys.exit(f"the demo ended:\n{said}")
            said += line
        base = re.findall(r"pages: (\S+)", said)[-1]
        password = re.findall(r"log in as dewi \S+ with (\S+)", said)[-1]
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
            page.goto(f"{base}/login")
            page.screenshot(path=folder / "login-id.png")
            page.fill("#name", "dewi")
            page.fill("#password", password)
            page.click("button.do")
            shoot(page, base, folder, "id")
            page.get_by_text("English").first.click()
            shoot(page, base, folder, "en")
            page.set_viewport_size({"width": 1280, "height": 900})
            page.goto(f"{base}/sites/pkm-contoh/report")
            page.screenshot(path=folder / "report-wide-en.png", full_page=True)
            browser.close()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(30)
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
