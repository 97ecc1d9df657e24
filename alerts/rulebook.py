"""The limits and products in force: those of the house with a country's or a site's files over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alerts.config import Config
from alerts.products import Product, load_products
from alerts.profiles import load_profiles
from alerts.rules import Profile


@dataclass(frozen=True, slots=True)
class Rules:
    """What a batch is judged by: profiles by id, products by KFA code, and the version of the product table."""

    catalogue: Mapping[str, Profile]
    products: Mapping[str, Product]
    products_version: str = ""


def rules_of(config: Config) -> Rules:
    """As the service judges by them; raises ConfigError for a file that cannot be used."""
    products = load_products(*config.products_files)
    return Rules(load_profiles(*config.profiles_files), products.by_kfa, products.version)
