"""What a record must look like before it is kept: pure checks that raise Refused(BAD_VALUE) with the field's name."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.records.errors import Code, Refused
from gateway.records.model import Batch, Device, Equipment, GtinLink, Role, Site, User
from telemetry.gtin import gtin_problem

# SMILE's rule for loggers: letters, digits, - _ . (smile-core-api.md 3.5). Ours is the same: one name serves all.
ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
SMILE_SERIAL_PATTERN = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
# smile-and-waste.md 39: "/" and other junk codes occur in KFA data.
KFA_PATTERN = re.compile(r"9[1-4]\d{6}")


def refuse(field: str, message: str) -> Refused:
    return Refused(Code.BAD_VALUE, f"{field}: {message}", field=field)


def check_id(field: str, value: str) -> None:
    if not isinstance(value, str) or not ID_PATTERN.fullmatch(value):
        raise refuse(field, f"{value!r} is not 1 to 64 letters, digits, - _ . (beginning with a letter or digit)")


def _filled(field: str, value: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise refuse(field, "is empty")


def _above_zero(field: str, value: Decimal | int | None) -> None:
    if value is not None and value <= 0:
        raise refuse(field, f"{value} is not above zero")


def check_site(site: Site) -> None:
    for field in ("id", "region", "shard"):
        check_id(field, getattr(site, field))
    _filled("name", site.name)
    try:
        ZoneInfo(site.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise refuse(
            "zone", f"{site.zone!r} is not a time zone (Asia/Jakarta, Asia/Makassar, Asia/Jayapura)"
        ) from error


def check_equipment(equipment: Equipment) -> None:
    check_id("id", equipment.id)
    _filled("name", equipment.name)
    _filled("profile", equipment.profile)


def check_device(device: Device) -> None:
    check_id("serial", device.serial)
    check_id("edge", device.edge)
    _filled("driver", device.driver)
    if device.smile_serial is not None and not SMILE_SERIAL_PATTERN.fullmatch(device.smile_serial):
        raise refuse("smile_serial", f"{device.smile_serial!r}: SMILE takes letters, digits and - _ . only")
    for field in ("interval_s", "e_kg", "max_kg", "tera_valid_days"):
        _above_zero(field, getattr(device, field))
    if device.calibration_error_c is not None and device.calibration_error_c < 0:
        raise refuse("calibration_error_c", f"{device.calibration_error_c} is below zero")


def check_batch(batch: Batch) -> None:
    check_id("id", batch.id)
    _filled("product_name", batch.product_name)
    _filled("batch_number", batch.batch_number)
    _kfa(batch.product_kfa)
    if not isinstance(batch.expires_on, date):
        raise refuse("expires_on", f"{batch.expires_on!r} is not a date")
    if batch.doses < 0:
        raise refuse("doses", f"{batch.doses} is below zero")
    if (batch.came_from is None) != (batch.left_ms is None):
        raise refuse("left_ms", "a batch that came from another store left there at some time: say both or neither")


def check_gtin(link: GtinLink) -> None:
    problem = gtin_problem(link.gtin)
    if problem:
        raise refuse("gtin", f"{link.gtin!r} {problem}")
    _filled("product_name", link.product_name)
    _kfa(link.product_kfa)


def _kfa(code: str) -> None:
    if not KFA_PATTERN.fullmatch(code):
        raise refuse("product_kfa", f"{code!r} is not a KFA code (8 digits, 91 to 94 first)")


def check_user(user: User) -> None:
    check_id("name", user.name)
    if user.role == Role.SYSTEM:
        raise refuse("role", "system is for our own processes")
    if user.role == Role.OPERATOR and user.site is None:
        raise refuse("site", "an operator belongs to one site (decree Table 1)")
    if user.role == Role.MANAGER and user.site is None and user.region is None:
        raise refuse("region", "a manager belongs to a region (decree Table 1)")
    if not user.password_hash.startswith("$"):
        raise refuse("password_hash", "is not a password hash (argon2: $argon2id$...)")
