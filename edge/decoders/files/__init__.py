"""Decoders of loggers' own exports: bytes in, ``LoggerFile`` out. Pure; the format is found by content."""

from edge.decoders.files.detect import decode_file
from edge.decoders.files.model import (
    DaySummary,
    DeviceAlarm,
    DeviceLimit,
    FileReading,
    LoggerFile,
    LoggerFileError,
)

__all__ = [
    "DaySummary",
    "DeviceAlarm",
    "DeviceLimit",
    "FileReading",
    "LoggerFile",
    "LoggerFileError",
    "decode_file",
]
