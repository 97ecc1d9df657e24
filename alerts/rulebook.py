"""The limits and products in force: those of the house with a country's or a site's files over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alerts.config import Config
from alerts.dated import limits_over_time
from alerts.judgement import Limits
from alerts.products import Product, load_products
from alerts.profiles import load_profiles
from alerts.rules import Profile
from gateway.records import Records


@dataclass(frozen=True, slots=True)
class Rules:
    """What a batch is judged by: profiles by id as the files have them, products by KFA code, the products' version.

    With the versions that people kept in the records the profiles become ``limits_of``.
    """

    catalogue: Mapping[str, Profile]
    products: Mapping[str, Product]
    products_version: str = ""


def limits_of(records: Records, catalogue: Mapping[str, Profile]) -> Limits:
    """The limits over time: what people kept in the records goes before the files (decision 0023)."""
    made = limits_over_time(catalogue, records.profile_versions(), {})
    return Limits(made.catalogue, made.versions)


def rules_of(config: Config) -> Rules:
    """As the service judges by them; raises ConfigError for a file that cannot be used."""
    products = load_products(*config.products_files)
    return Rules(load_profiles(*config.profiles_files), products.by_kfa, products.version)
