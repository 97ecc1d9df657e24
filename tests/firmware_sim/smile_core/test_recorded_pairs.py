"""The recorded pairs of facts/smile-core-api.md sections 8.2-8.5, replayed over HTTP (section 11 item 11).

Without settings they run against the stand-in, in process. To run them against the real programs (the contract's
other direction) prepare a database as in section 8.1 with the rows of `firmware_sim/smile_core/lab.toml`; 8.3 itself
registers LABLOG0001, so leave that row out and link it by hand before 8.4. Then set

    SMILE_CORE_URL SMILE_MAIN_URL SMILE_WMS_URL   base addresses, e.g. http://127.0.0.1:3000/core
    SMILE_AUTH_URL                                base address of the auth service, for the pairs marked `only: real`
    SMILE_LAB_PASSWORDS                           JSON object: user name to password

Then ids of the laboratory (`$lab`) count only as examples, `advance_s` really waits, and what only a look into the
database shows (`rows`, `notified`, `fault`) is not checked.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

REAL = {name: url for name in ("CORE", "MAIN", "WMS", "AUTH") if (url := os.environ.get(f"SMILE_{name}_URL"))}
SCENARIOS: dict[str, dict[str, Any]] = {
    f"{one['section']}-{one['name']}": one
    for one in yaml.safe_load(Path(__file__).with_name("recorded_pairs.yaml").read_text(encoding="utf-8"))[
        "scenarios"
    ]
}
NOT_RUN = "not run: "
PAIRS = [(key, number, pair["pair"]) for key, one in SCENARIOS.items() for number, pair in enumerate(one["pairs"])]


def differences(expected: Any, got: Any, path: str = "$", *, real: bool = False) -> list[str]:
    """Where `got` does not hold what is expected; dicts may hold more, lists may not."""
    if isinstance(expected, dict) and any(str(key).startswith("$") for key in expected):
        return _matcher(expected, got, path, real=real)
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            return [f"{path}: expected an object, got {got!r}"]
        missing = [f"{path}.{key}: missing" for key in expected if key not in got]
        return missing + [
            found
            for key in expected
            if key in got
            for found in differences(expected[key], got[key], f"{path}.{key}", real=real)
        ]
    if isinstance(expected, list):
        if not isinstance(got, list) or len(got) != len(expected):
            return [f"{path}: expected {len(expected)} elements, got {got!r}"]
        pairs = zip(expected, got, strict=True)
        return [
            found
            for n, (want, have) in enumerate(pairs)
            for found in differences(want, have, f"{path}[{n}]", real=real)
        ]
    same = got == expected and isinstance(got, bool) == isinstance(expected, bool)
    return [] if same else [f"{path}: expected {expected!r}, got {got!r}"]


def _matcher(expected: Mapping[str, Any], got: Any, path: str, *, real: bool) -> list[str]:
    if "$lab" in expected and not real:
        return differences(expected["$lab"], got, path)
    if "$some" in expected:
        held = isinstance(got, list) and any(not differences(expected["$some"], one, real=real) for one in got)
        return [] if held else [f"{path}: none like {expected['$some']}"]
    if "$contains" in expected:
        return [] if expected["$contains"] in str(got) else [f"{path}: {got!r} lacks {expected['$contains']!r}"]
    if "$pattern" in expected:
        return (
            [] if re.fullmatch(expected["$pattern"], str(got)) else [f"{path}: {got!r} is not {expected['$pattern']}"]
        )
    return [] if "$any" in expected else [f"{path}: no such matcher {expected}"]


class Replay:
    """Runs the pairs of one scenario in order and keeps what went wrong with each."""

    def __init__(self, scenario: dict[str, Any], lab: Any, item: dict[str, Any]) -> None:
        self.scenario = scenario
        self.lab = lab
        self.item = item
        self.saved: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.passwords: dict[str, str] = json.loads(os.environ.get("SMILE_LAB_PASSWORDS", "{}"))

    def password(self, name: str) -> str:
        if REAL:
            return self.passwords[name]
        return str(next(row.password for row in self.lab.state.seed.accounts if row.username == name))

    def fill(self, value: Any) -> Any:
        """Put saved values and passwords into texts."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if not isinstance(value, str):
            return value
        text = re.sub(r"\{password:(\w+)\}", lambda found: self.password(found[1]), value)
        return re.sub(r"\{(\w+)\}", lambda found: str(self.saved.get(found[1], found[0])), text)

    def send(self, call: str, **kwargs: Any) -> httpx.Response:
        method, where = call.split(" ", 1)
        base, _, path = where.partition("/")
        if REAL:
            return httpx.request(method, f"{REAL[base].rstrip('/')}/{path}", timeout=60, **kwargs)
        answer: httpx.Response = self.lab.request(method, f"/{base.lower()}/{path}", **kwargs)
        return answer

    def token(self, name: str) -> str:
        if name not in self.tokens:
            body = {"username": name, "password": self.password(name)}
            self.tokens[name] = self.send("POST CORE/api/auth/login", json=body).json()["token_login"]
        return self.tokens[name]

    def headers(self, pair: dict[str, Any]) -> dict[str, str]:
        headers: dict[str, str] = {"accept-language": "en"}
        who = pair.get("as", self.scenario["as"])
        if "token" in pair:
            headers["authorization"] = f"Bearer {self.fill(pair['token'])}"
        elif who != "none":
            headers["authorization"] = f"Bearer {self.token(who)}"
        if " MAIN/" in pair["call"]:
            headers["x-program-id"] = "1"
        if "raw" in pair:
            headers["content-type"] = "application/json"
        for key, value in pair.get("headers", {}).items():
            headers.pop(key, None)
            if value is not None:
                headers[key] = value
        return headers

    def body(self, pair: dict[str, Any]) -> dict[str, Any]:
        if "items" in pair:
            items = [{**self.item, **override} for override in pair["items"]]
            return {"json": self.fill(items * pair.get("copies", 1))}
        if "raw" in pair:
            return {"content": pair["raw"].encode()}
        if "form" in pair:
            return {"data": self.fill(pair["form"])}
        return {"json": self.fill(pair["json"])} if "json" in pair else {}

    def run(self) -> list[list[str]]:
        return [self.one(pair) for pair in self.scenario["pairs"]]

    def one(self, pair: dict[str, Any]) -> list[str]:
        if pair.get("only") == "real" and (not REAL or pair["call"].split("/")[0].split()[1] not in REAL):
            return self.absent(pair)
        if REAL and "fault" in pair:
            return [NOT_RUN + "the fault cannot be armed in the real programs"]
        self.before(pair)
        kwargs = {"headers": self.headers(pair), **self.body(pair)}
        call = self.fill(pair["call"])
        rows_before = len(self.lab.history(pair["rows"]["logger"])) if "rows" in pair and not REAL else 0
        answers = [self.send(call, **kwargs) for _ in range(pair.get("times", 1))]
        problems = self.reply(pair, answers)
        if not REAL:
            problems += self.database(pair, rows_before)
        return problems + self.excursions(pair)

    def before(self, pair: dict[str, Any]) -> None:
        if "advance_s" in pair:
            time.sleep(pair["advance_s"]) if REAL else self.lab.advance_s(pair["advance_s"])
        if "fault" in pair:
            assert self.lab.control("POST", "/faults", json=pair["fault"]).status_code == 201

    def absent(self, pair: dict[str, Any]) -> list[str]:
        """A pair of a route that section 11 does not list: the stand-in must not have it."""
        if REAL:
            return [NOT_RUN + "SMILE_AUTH_URL is not set"]
        status = self.send(self.fill(pair["call"]), headers=self.headers(pair)).status_code
        return [] if status == 404 else [f"the stand-in has a route that section 11 does not list: {status}"]

    def reply(self, pair: dict[str, Any], answers: list[httpx.Response]) -> list[str]:
        checked = answers[-1:] if pair["expect"] >= 400 else answers
        problems = [
            f"status {one.status_code}: {one.text[:300]}" for one in checked if one.status_code != pair["expect"]
        ]
        last = answers[-1]
        if pair.get("empty"):
            problems += ["body is not empty"] if last.content else []
        if not problems and ("body" in pair or "exactly" in pair):
            expected, got = self.fill(pair.get("exactly", pair.get("body"))), last.json()
            problems += differences(expected, got, real=bool(REAL))
            if "exactly" in pair and not REAL and _shape(got) != _shape(expected):
                problems.append(f"more than recorded: {got!r}")
        if "no_keys_in" in pair and not problems:
            problems += ["not empty"] if last.json()[pair["no_keys_in"]] else []
        for name, where in pair.get("save", {}).items() if not problems else ():
            self.saved[name] = _at(last.json(), where)
        return problems

    def database(self, pair: dict[str, Any], rows_before: int) -> list[str]:
        problems: list[str] = []
        if "rows" in pair:
            rows = self.lab.history(pair["rows"]["logger"])
            if len(rows) - rows_before != pair["rows"]["added"]:
                problems.append(f"{len(rows) - rows_before} rows added")
            for key, value in pair["rows"].get("last", {}).items():
                problems += differences(value, getattr(rows[-1], key), f"row.{key}")
        if "notified" in pair:
            problems += differences(pair["notified"], self.lab.control("GET", "/notifications").json())
        return problems

    def excursions(self, pair: dict[str, Any]) -> list[str]:
        problems: list[str] = []
        for serial, wanted in pair.get("excursion", {}).items():
            headers = {"authorization": f"Bearer {self.token(self.scenario['as'])}"}
            rows = self.send("GET CORE/asset-monitoring-temperature", headers=headers).json()["data"]
            held = [row for row in rows if serial in json.dumps(row)]
            problems += differences(
                [wanted], [row.get("excursion", "no field") for row in held], f"excursion {serial}"
            )
        return problems


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return [_shape(one) for one in value] if isinstance(value, list) else None


def _at(value: Any, where: str) -> Any:
    for part in where.split("."):
        value = value[int(part)] if part.isdecimal() else value[part]
    return value


@pytest.fixture(scope="session")
def outcomes() -> Callable[[str, Callable[..., Any], dict[str, Any]], list[list[str]]]:
    """Each scenario is replayed once, at its first pair."""
    kept: dict[str, list[list[str]]] = {}

    def of(key: str, make_lab: Callable[..., Any], item: dict[str, Any]) -> list[list[str]]:
        if key not in kept:
            scenario = SCENARIOS[key]
            lab = make_lab(without=tuple(scenario.get("without", ())))
            kept[key] = Replay(scenario, lab, item).run()
        return kept[key]

    return of


@pytest.mark.parametrize(("key", "number", "pair"), PAIRS, ids=[f"{key}: {pair}" for key, _, pair in PAIRS])
def test_the_recorded_reply_comes_back(
    key: str, number: int, pair: str, outcomes: Any, make_lab: Callable[..., Any], push_item: dict[str, Any]
) -> None:
    """facts 8.2-8.5, section 11 item 11."""
    problems = outcomes(key, make_lab, push_item)[number]
    if problems and problems[0].startswith(NOT_RUN):
        pytest.skip(problems[0])
    assert not problems, pair


def test_a_wrong_reply_is_seen() -> None:
    """The comparison itself must be able to fail."""
    assert differences({"a": [1, 2]}, {"a": [1, 3]})
    assert differences({"a": 1}, {"b": 1})
    assert differences({"a": True}, {"a": 1})
    assert differences([{"$pattern": "x+"}], ["xy"])
    assert differences({"$lab": 4, "$any": True}, 5)
    assert not differences({"$lab": 4, "$any": True}, 5, real=True)
    assert not differences({"a": {"$contains": "b"}}, {"a": "abc", "more": 1})


def test_every_recorded_section_is_replayed() -> None:
    assert {one["section"] for one in SCENARIOS.values()} == {"8.2", "8.3", "8.4", "8.5"}
    assert len(PAIRS) > 90
