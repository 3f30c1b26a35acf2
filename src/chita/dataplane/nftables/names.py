"""Names of chains and sets: readable where the kernel allows it, unique always.

nft reads names of letters, digits and ``/ - _ .``, beginning with a letter (nft's scanner.l), and
the kernel 255 bytes of them (NFT_NAME_MAXLEN, linux/netfilter/nf_tables.h). A key that fits stands
in the name as it is; any other is cut, cleaned and gets a hash of the whole key.
"""

from __future__ import annotations

import hashlib
import re

from chita.dataplane.nftables.objects import COMMENT_BYTES
from chita.model.net import Family

_MAX = 120
_FLOW_PREFIX = 64
"""Of Felix (calico.md 3.5); the kernel takes 127 bytes (NF_LOG_PREFIXLEN)."""
_ILLEGAL = re.compile(r"[^A-Za-z0-9/._-]")
_UNQUOTABLE = re.compile(r"[^ !#-\[\]-~]")
"""Not printable ASCII, or a quote or backslash: nft has no escape for them in a string."""

_SPECIFIER = re.compile("%[tknp]")
_SHORT_KINDS = {
    "NetworkPolicy": "np",
    "GlobalNetworkPolicy": "gnp",
    "StagedNetworkPolicy": "snp",
    "StagedGlobalNetworkPolicy": "sgnp",
    "StagedKubernetesNetworkPolicy": "sknp",
    "KubernetesNetworkPolicy": "knp",
    "KubernetesClusterNetworkPolicy": "kcnp",
    "Profile": "pro",
}
"""As Felix spells them; a kind it does not know stands as it is."""


def digest(text: str) -> str:
    """Return 10 hex digits that stand for *text*: 40 bits, for a few thousand names of one node."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def name(prefix: str, key: str) -> str:
    """Return *prefix* and *key* as a legal name; different keys have different names.

    A cleaned name ends in ``.H`` and a hash. No Kubernetes name has an upper-case letter, so no
    key that fits can be mistaken for one.
    """
    plain = f"{prefix}-{key}"
    if len(plain) <= _MAX and not _ILLEGAL.search(key):
        return plain
    return f"{_ILLEGAL.sub('-', plain)[: _MAX - 12]}.H{digest(key)}"


def address_set(uid: str, family: Family) -> str:
    """Return the name of the hash set of single addresses of a selector."""
    return name(f"addresses{family}", uid)


def network_set(uid: str, family: Family) -> str:
    """Return the name of the interval set of networks of a selector."""
    return name(f"networks{family}", uid)


def prefix_set(uid: str, family: Family, prefix: int) -> str:
    """Return the name of the hash set of networks of one length of a selector."""
    return name(f"networks{family}.{prefix}", uid)


def port_set(key: str, family: Family) -> str:
    """Return the name of the set of address, protocol and port."""
    return name(f"ports{family}", key)


def comment(*words: object) -> str:
    """Return *words* as a rule's comment: printable, unquoted, within the limit."""
    text = _UNQUOTABLE.sub("?", " ".join(str(word) for word in words))
    if len(text) <= COMMENT_BYTES:
        return text
    # The end says direction and index; the beginning whose it is.
    return f"{text[: COMMENT_BYTES - 35]}~{digest(text)}~{text[-22:]}"


def log_prefix(template: str, tier: str, kind: str, namespace: str, name: str) -> str:
    """Return *template* as the log prefix of a policy or profile: a colon and a space follow it.

    Specifiers are those of Felix (v3 ``logPrefix``): ``%t`` tier, ``%k`` short kind, ``%n`` name,
    ``%p`` name after its namespace and a slash, if any; everything else stays. The kernel takes
    127 bytes.
    """
    values = {
        "%t": tier,
        "%k": _SHORT_KINDS.get(kind, kind),
        "%n": name,
        "%p": f"{namespace}/{name}" if namespace else name,
    }
    text = _SPECIFIER.sub(lambda found: values[found[0]], template)
    return _UNQUOTABLE.sub("?", text)[:125] + ": "


def flow_prefix(text: str) -> str:
    """Return *text* as a prefix to a flow log: at most 64 bytes, the end a hash where it is cut."""
    text = _UNQUOTABLE.sub("?", text)
    return text if len(text) <= _FLOW_PREFIX else f"{text[: _FLOW_PREFIX - 11]}~{digest(text)}"
