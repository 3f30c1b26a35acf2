"""What FelixConfiguration and FabricConfiguration both have."""

from __future__ import annotations

from typing import Final

from chita.model.schema import Pattern, Schema, Text, Whole

PORT: Final = Whole(minimum=1, maximum=65535)

HOST_SETTINGS: Final[dict[str, Schema]] = {
    "vxlanPort": PORT,
    # RFC 7348 section 5: 24 bits.
    "vxlanVNI": Whole(minimum=1, maximum=(1 << 24) - 1),
    "defaultEndpointToHostAction": Text(choices=("Drop", "Accept", "Return")),
    "logPrefix": Text(pattern=Pattern(r"([a-zA-Z0-9%: /_-])*", "calico-packet")),
    "logActionRateLimit": Text(
        pattern=Pattern(r"[1-9]\d{0,3}/(?:second|minute|hour|day)", "10/second")
    ),
    "logActionRateLimitBurst": Whole(minimum=0, maximum=9999),
}
