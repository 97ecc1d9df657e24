"""Settings of the SMILE adapter as values. ``smile_iot`` reads them from TOML and environment; nothing here does.

Waits are real seconds: the network does not follow the virtual clock (design.md, Clock).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from gateway.smile.client import Account
from gateway.smile.items import MAX_ITEMS, Assumed, Bounds
from gateway.smile.weights import WeightRules
from telemetry.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the adapter needs.

    ``account`` pushes temperatures, and does the rest for every site that has none of its own in ``site_accounts``
    (manager role; WMS and discards take the facility from it). ``read_back_account`` is asked for histories.
    ``resend_uncertain`` accepts duplicates: what may be stored and cannot be read back is sent again.
    ``assumed_vvm``: the VVM stage sent when nobody read the vials; None waits for a person.
    """

    core_url: str
    main_url: str
    wms_url: str
    account: Account
    site_accounts: Mapping[str, Account] = field(default_factory=dict)
    read_back_account: Account | None = None
    program_id: int = 1
    outbox_path: Path = Path("smile.db")
    token_dir: Path = Path("smile-tokens")
    journal: str = "journal.db"
    records: str = "records.db"
    batch_limit: int = MAX_ITEMS
    resend_uncertain: bool = False
    assumed: Assumed = field(default_factory=Assumed)
    bounds: Bounds = field(default_factory=Bounds)
    assumed_vvm: str | None = None
    weight_rules: WeightRules = field(default_factory=WeightRules)
    room_equipment_kinds: frozenset[str] = frozenset()
    bluetooth_drivers: frozenset[str] = frozenset({"ble", "bluetooth", "bthome", "ruuvi"})
    beside_max_age_s: int = 3_600
    settle_s: float = 90.0  # a push may run on for the server's 60 s after its answer was lost (smile-core-api 3.3)
    held_again_s: float = 3_600.0
    unknown_device_again_s: float = 21_600.0
    refused_again_s: float = 3_600.0
    backfill_hold_s: float = 1_800.0
    login_interval_s: float = 60.0
    first_pause_s: float = 1.0
    poll_s: float = 1.0
    attach_every_s: float = 30.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    journal_entries: int = 200

    def __post_init__(self) -> None:
        for key in ("core_url", "main_url", "wms_url"):
            if not getattr(self, key).startswith(("http://", "https://")):
                raise ConfigError(f"smile.{key}", f"{getattr(self, key)!r} is no http address")
        if not self.account.username or not self.account.password:
            raise ConfigError(
                "smile.username", "SMILE needs an account", advice="set smile.username and password_file"
            )
        if not 1 <= self.batch_limit <= MAX_ITEMS:
            raise ConfigError("smile.batch_limit", f"must be 1 to {MAX_ITEMS}")
        if self.weight_rules.places not in (2, 3):
            raise ConfigError("smile.weight_places", "must be 2 or 3 (smile-core-api.md 6.8)")
        humidity = self.assumed.humidity_percent
        if not Decimal(0) < humidity <= Decimal(100):
            raise ConfigError("smile.assumed_humidity_percent", "must be above 0 and at most 100: 0 would be a lie")

    def account_of(self, site: str) -> Account:
        return self.site_accounts.get(site, self.account)

    @property
    def accounts(self) -> dict[str, Account]:
        """Every account by user name, each once: one session each (duty 14)."""
        every = [self.account, *self.site_accounts.values()]
        if self.read_back_account is not None:
            every.append(self.read_back_account)
        return {account.username: account for account in every}
