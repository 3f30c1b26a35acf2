"""What names and labels may be. Each function returns what is wrong with a value, or None.

The rules are those of Kubernetes (``k8s.io/apimachinery/pkg/util/validation``), which the v3 API
shares; a problem text names the value, the rule and, where there is one, the mend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DNS_LABEL_LENGTH: Final = 63
DNS_SUBDOMAIN_LENGTH: Final = 253
LABEL_NAME_LENGTH: Final = 63
LABEL_VALUE_LENGTH: Final = 63
ANNOTATIONS_SIZE: Final = 256 * 1024
"""Bytes of all keys and values together (v3 and Kubernetes ObjectMeta)."""

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(rf"{DNS_LABEL.pattern}(\.{DNS_LABEL.pattern})*")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
PORT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
RULE_PORT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")


def dns_label_problem(name: str) -> str | None:
    """RFC 1123 label: a name without dots, as of a namespace or a tier."""
    if len(name) > DNS_LABEL_LENGTH:
        return _too_long(name, DNS_LABEL_LENGTH)
    if DNS_LABEL.fullmatch(name):
        return None
    return (
        f"'{name}' is not a DNS label: use lower case letters, digits and '-', with a letter or "
        f"digit first and last{_like(name, dots=False)}"
    )


def dns_1035_label_problem(name: str) -> str | None:
    """RFC 1035 label: a DNS label that starts with a letter, as of a Service."""
    problem = dns_label_problem(name)
    if problem is None and not _DNS_1035_LABEL.fullmatch(name):
        return f"'{name}' must start with a letter"
    return problem


def dns_subdomain_problem(name: str) -> str | None:
    """RFC 1123 subdomain: labels separated by dots, as most objects are named."""
    if len(name) > DNS_SUBDOMAIN_LENGTH:
        return _too_long(name, DNS_SUBDOMAIN_LENGTH)
    if DNS_SUBDOMAIN.fullmatch(name):
        return None
    return (
        f"'{name}' is not a DNS name: use lower case letters, digits, '-' and '.', with a letter "
        f"or digit at both ends of each part{_like(name, dots=True)}"
    )


def label_key_problem(key: str) -> str | None:
    """Return what is wrong with a qualified name: ``name`` or ``dns.subdomain/name``."""
    prefix, slash, name = key.rpartition("/")
    if slash:
        if not prefix:
            return f"'{key}' has nothing before its '/'; write the name alone or a DNS prefix"
        problem = dns_subdomain_problem(prefix)
        if problem is not None:
            return f"'{key}' has a prefix that is no DNS name: {problem}"
    if len(name) > LABEL_NAME_LENGTH:
        return _too_long(name, LABEL_NAME_LENGTH)
    if LABEL_NAME.fullmatch(name):
        return None
    return (
        f"'{key}' is not a label key: the name has letters, digits, '-', '_' and '.', with a "
        "letter or digit first and last; a DNS name and one '/' may stand before it"
    )


def label_value_problem(value: str) -> str | None:
    """Return what is wrong with the value of a label."""
    if len(value) > LABEL_VALUE_LENGTH:
        return _too_long(value, LABEL_VALUE_LENGTH)
    if not value or LABEL_NAME.fullmatch(value):
        return None
    return (
        f"'{value}' is not a label value: it is empty, or has letters, digits, '-', '_' and '.', "
        "with a letter or digit first and last"
    )


def is_unicode(text: str) -> bool:
    """Tell whether UTF-8 can hold *text*: JSON can spell half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def annotations_problem(annotations: Mapping[str, str]) -> str | None:
    """Return what is wrong with all *annotations* together; keys are `annotation_key_problem`'s."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size <= ANNOTATIONS_SIZE:
        return None
    return f"keys and values have {size} bytes together, more than {ANNOTATIONS_SIZE}"


def annotation_key_problem(key: str) -> str | None:
    """Return what is wrong with an annotation's key: a label key in any case of letters."""
    return label_key_problem(key.lower())


def port_name_problem(name: str) -> str | None:
    """RFC 6335 service name, as a container or a Kubernetes policy names a port."""
    valid = len(name) <= 15 and PORT_NAME.fullmatch(name) and "--" not in name
    if valid and re.search("[a-z]", name):
        return None
    return (
        f"'{name}' is not a port name: use up to 15 lower case letters, digits and single '-', "
        "with at least one letter and no '-' at an end"
    )


def rule_port_name_problem(name: str) -> str | None:
    """Return what is wrong with a named port in a v3 rule, which may be any of 128 characters."""
    if RULE_PORT_NAME.fullmatch(name):
        return None
    return (
        f"'{name}' is not a port: write a number 1 to 65535, a range such as 8000:8100, or a port "
        "name of up to 128 letters, digits, '_', '.' and '-'"
    )


def interface_problem(name: str) -> str | None:
    """Linux interface name (IFNAMSIZ less its terminator), or ``*`` for all interfaces."""
    if name == "*" or INTERFACE.fullmatch(name):
        return None
    return (
        f"'{name}' is not an interface name: write '*' for all interfaces, or up to 15 letters, "
        "digits, '_', '.' and '-'"
    )


def _too_long(text: str, limit: int) -> str:
    return f"'{text[:20]}...' has {len(text)} characters, more than {limit}"


def _like(name: str, *, dots: bool) -> str:
    """Return an offer of the nearest valid name, if *name* has one."""
    near = re.sub(r"[^a-z0-9.-]" if dots else r"[^a-z0-9-]", "-", name.lower())
    near = re.sub(r"[-.]*\.[-.]*", ".", near).strip("-.")
    return f"; for example '{near}'" if near else ""
