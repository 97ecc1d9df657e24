"""``smile-iot settings``: every setting with its default, its environment variable and its meaning."""

from __future__ import annotations

import argparse

from smile_iot.settings import settings_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None are needed."""
    del parser


def run(args: argparse.Namespace) -> int:
    del args
    print(settings_table(), end="")
    return 0
