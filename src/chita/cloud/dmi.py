"""DMI: whose machine the firmware says it is (SMBIOS, ``/sys/class/dmi/id``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chita.cloud.facts import NOTHING, CloudFacts, Fact, Provider, Source

DMI_DIRECTORY = Path("/sys/class/dmi/id")

_FILES = ("sys_vendor", "product_name", "chassis_asset_tag")

_AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""Of every virtual machine of Azure's; Hyper-V at home has the same vendor without it."""


def facts(texts: Mapping[str, str]) -> CloudFacts:
    """Return whose machine *texts*, by file, say it is; none of them has a region."""
    vendor, product = texts.get("sys_vendor", ""), texts.get("product_name", "")
    tag = texts.get("chassis_asset_tag", "")
    provider: Provider | None = None
    if vendor == "Amazon EC2":
        provider = Provider.AWS
    elif vendor == "Google" and product == "Google Compute Engine":
        provider = Provider.GCP
    elif vendor == "Microsoft Corporation" and tag == _AZURE_ASSET_TAG:
        provider = Provider.AZURE
    elif vendor.startswith("OpenStack") or product.startswith("OpenStack"):
        provider = Provider.OPENSTACK
    return CloudFacts(provider=Fact(provider, Source.DMI)) if provider else NOTHING


def read(directory: Path = DMI_DIRECTORY) -> dict[str, str]:
    """Return what the files of *directory* hold; what is missing or not for us is left out."""
    texts: dict[str, str] = {}
    for name in _FILES:
        try:
            texts[name] = (directory / name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
    return texts
