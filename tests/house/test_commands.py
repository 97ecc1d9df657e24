"""What the prose tells people to type is there: make's targets, our commands, and their options."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from smile_iot.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VARIABLES = {"STORE", "DEMO_ARGS", "TEST_ARGS", "VALIDATE_ARGS"}
_CODE = re.compile(r"^```\w*\n(.*?)^```$|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def typed() -> Iterator[tuple[str, str]]:
    """(page, line) of all that stands in code in the tracked Markdown, and in the unit files."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        path = ROOT / name
        if path.suffix == ".md" and path.is_file():
            for fence, span in _CODE.findall(path.read_text()):
                for line in (fence or span).splitlines():
                    yield name, line.partition("  #")[0].strip()
        elif path.suffix == ".service" and path.is_file():
            for line in re.findall(r"^Exec\w*=(.*)$", path.read_text(), re.MULTILINE):
                yield name, line


LINES = list(typed())


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=command)
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    return parser


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """All options, those of sub-commands too."""
    known = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                known |= options_of(below)
    return known


def unexplained(parser: argparse.ArgumentParser) -> list[str]:
    """Arguments without a word of help, those of sub-commands too."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [name for below in action.choices.values() for name in unexplained(below)]
        elif not action.help:
            found.append(f"{parser.prog} {' '.join(action.option_strings) or action.dest}")
    return found


def wrong_words(line: str) -> list[str]:
    """What a typed line names and is not there."""
    wrong = []
    make = re.match(r"(?:[A-Z_]+=\S+ )*make ([a-z][\w-]*)((?: [A-Z_]+=(?:\"[^\"]*\"|\S+))*)", line)
    if make:
        wrong += [f"make {make[1]}"] if make[1] not in TARGETS else []
        for variable, value in re.findall(r"([A-Z_]+)=(\"[^\"]*\"|\S+)", make[2]):
            wrong += [variable] if variable not in VARIABLES else []
            if variable == "DEMO_ARGS":
                wrong += sorted(set(re.findall(r"--[a-z][\w-]*", value)) - options_of(parser_of("demo")))
    ours = re.search(r"(?:^|/)smile-iot ([a-z]+)\b(.*)", line)
    if ours and ours[1] not in COMMANDS:
        wrong.append(f"smile-iot {ours[1]}")
    elif ours:
        said = set(re.findall(r"(?<!\S)\[?(--[a-z][\w-]*)", ours[2]))
        wrong += sorted(said - options_of(parser_of(ours[1])))
    return wrong


@pytest.mark.parametrize("page", sorted({name for name, _ in LINES}))
def test_what_a_page_tells_to_type_is_there(page: str) -> None:
    wrong = {line: words for name, line in LINES if name == page and (words := wrong_words(line))}
    assert not wrong


def test_the_reader_of_lines_finds_what_is_not_there() -> None:
    """The test above can fail, and it reads the README's own lines."""
    assert wrong_words("make demmo") == ["make demmo"]
    assert wrong_words('make demo DEMO_ARGS="--headless --raport x"') == ["--raport"]
    assert wrong_words("smile-iot doktor") == ["smile-iot doktor"]
    assert wrong_words("smile-iot evaluate FILE --zone Z --jason") == ["--jason"]
    assert {line for name, line in LINES if name == "README.md"} >= {"make demo", "make test"}


def test_makes_help_names_its_targets() -> None:
    text = (ROOT / "Makefile").read_text()
    said = set(re.findall(r'@echo "make ([\w-]+)', text))
    assert said <= TARGETS
    assert {"demo", "test", "check", "lock"} <= said
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == TARGETS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(f"usage: smile-iot {command}")
    assert COMMANDS[command][1].split(",")[0] in " ".join(text.split())
    assert unexplained(parser_of(command)) == []


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    for command, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {command} +{re.escape(line)}$", shown, re.MULTILINE)


def test_the_installed_command_is_the_one_we_wrote() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"smile-iot": "smile_iot.__main__:main"}
