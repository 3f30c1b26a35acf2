"""Calls parsed, configurations checked, results in each version's form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chita.cni.errors import CniError, ErrorCode, error_json
from chita.cni.netconf import NetConf, PreviousResult, ValidAttachment, parse_netconf
from chita.cni.spec import (
    VERSIONS,
    Command,
    Interface,
    IpConfig,
    PodName,
    Result,
    parse_call,
    result_json,
)
from chita.model.net import Address

ADD = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/run/netns/x",
    "CNI_IFNAME": "eth0",
}


def config(**keys: object) -> str:
    return json.dumps({"cniVersion": "1.1.0", "name": "net", "type": "chita-cni"} | keys)


@pytest.mark.parametrize(
    ("change", "text", "code", "message"),
    [
        pytest.param({}, "{", 6, "network configuration", id="cut-off"),
        pytest.param({}, '"text"', 6, "object", id="not-an-object"),
        pytest.param({}, config(cniVersion="0.2.0"), 1, "0.2.0", id="too-old"),
        pytest.param({}, '{"name":"net"}', 1, "0.1.0", id="no-version-means-0.1.0"),
        pytest.param({"CNI_COMMAND": "LIST"}, config(), 4, "LIST", id="command"),
        pytest.param(
            {"CNI_COMMAND": "GC"}, config(cniVersion="1.0.0"), 1, "since CNI", id="gc-too-early"
        ),
        pytest.param(
            {"CNI_COMMAND": "CHECK"}, config(cniVersion="0.3.1"), 1, "0.4.0", id="check-too-early"
        ),
        pytest.param({"CNI_NETNS": ""}, config(), 4, "CNI_NETNS", id="no-netns"),
        pytest.param({"CNI_CONTAINERID": "-x"}, config(), 4, "CNI_CONTAINERID", id="container"),
        pytest.param({"CNI_IFNAME": "a/b"}, config(), 4, "CNI_IFNAME", id="slash"),
        pytest.param({"CNI_IFNAME": ".."}, config(), 4, "CNI_IFNAME", id="dots"),
        pytest.param({"CNI_IFNAME": "x" * 16}, config(), 4, "CNI_IFNAME", id="16-characters"),
        pytest.param({"CNI_ARGS": "K8S_POD_NAME"}, config(), 4, "KEY=VALUE", id="args"),
        pytest.param({"CNI_ARGS": "K8S_POD_NAME=a"}, config(), 4, "together", id="half-a-pod"),
        pytest.param({}, config(name=""), 7, "name", id="no-name"),
        pytest.param({}, config(name="../x"), 7, "name", id="name-with-path"),
        pytest.param({}, config(mtu="1500"), 7, "mtu", id="mtu-text"),
        pytest.param({}, config(mtu=True), 7, "mtu", id="mtu-boolean"),
        pytest.param({}, config(mtu=600), 7, "1280", id="mtu-below-ipv6"),
        pytest.param({}, config(ipam={"type": "host-local"}), 2, "host-local", id="other-ipam"),
        pytest.param({}, config(ipam=[]), 7, "ipam", id="ipam-list"),
        pytest.param({}, config(ipam={"assign_ipv4": "no"}), 7, "assign_ipv4", id="switch"),
        pytest.param({}, config(ipam={"assign_ipv4": False}), 7, "both false", id="no-family"),
        pytest.param({}, config(ipam={"ipv4_pools": [1]}), 7, "ipv4_pools", id="pools"),
        pytest.param({}, config(prevResult={"ips": [{"address": "x"}]}), 7, "prevResult", id="ips"),
        pytest.param({}, config(prevResult=[]), 7, "prevResult", id="list"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_code(
    change: dict[str, str], text: str, code: int, message: str
) -> None:
    with pytest.raises(CniError, match=message) as caught:
        parse_call(ADD | change, text)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param("", None, id="none"),
        pytest.param("IgnoreUnknown=1;X=y", None, id="others"),
        pytest.param(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u=1;"
            "K8S_POD_INFRA_CONTAINER_ID=c1",
            PodName(namespace="shop", name="web", uid="u=1"),
            id="kubernetes",
        ),
    ],
)
def test_the_pod_in_the_arguments(args: str, expected: PodName | None) -> None:
    call = parse_call(ADD | {"CNI_ARGS": args}, config())

    assert call.pod == expected


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"CNI_COMMAND": "STATUS"}, id="status"),
        pytest.param({"CNI_COMMAND": "GC", "CNI_PATH": "/opt/cni/bin"}, id="gc"),
        pytest.param(
            {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"}, id="del"
        ),
    ],
)
def test_what_may_be_absent(environment: dict[str, str]) -> None:
    """DEL must clean up what it can without CNI_NETNS; STATUS and GC are about no container."""
    call = parse_call(environment, config())

    assert call.command is Command(environment["CNI_COMMAND"])
    assert call.netns == ""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"mtu": 1400, "unknown": {"x": 1}}, {"mtu_bytes": 1400}, id="mtu"),
        pytest.param(
            {"ipam": {"type": "calico-ipam", "assign_ipv4": "false", "assign_ipv6": "true"}},
            {"families": (6,)}, id="calicos-strings",
        ),
        pytest.param({"ipam": {"assign_ipv6": True}}, {"families": (4, 6)}, id="ipv4-unless-said"),
        pytest.param({"ipam": {"ipv6_pools": ["a"]}}, {"pools": {6: ("a",)}}, id="pools"),
        pytest.param({"cni.dev/valid-attachments": []}, {"valid_attachments": ()}, id="empty-list"),
        pytest.param(
            {"cni.dev/attachments": [{"containerID": "c1", "ifname": "eth0"}]},
            {"valid_attachments": (ValidAttachment(container="c1", ifname="eth0"),)}, id="libcni",
        ),
        pytest.param(
            {"prevResult": {"interfaces": [{"name": "cali1"}], "ips": [{"address": "fd00::1"}]}},
            {"previous": PreviousResult(
                interfaces=("cali1",), addresses=(Address.parse("fd00::1"),))}, id="previous",
        ),
    ],
)  # fmt: skip
def test_netconf(keys: dict[str, Any], expected: dict[str, Any]) -> None:
    raw = json.loads(config(**keys))

    assert parse_netconf(raw) == NetConf(version="1.1.0", name="net", **expected)


RESULT = Result(
    interfaces=(
        Interface(name="cali1", mac="ee:ee:ee:ee:ee:ee", mtu_bytes=1450),
        Interface(name="eth0", mac="02:00:00:00:00:01", mtu_bytes=1450, sandbox="/run/netns/x"),
    ),
    ips=(
        IpConfig(
            address=Address.parse("10.244.0.5"), gateway=Address.parse("169.254.1.1"), interface=1
        ),
        IpConfig(
            address=Address.parse("fd00:10:244::5"), gateway=Address.parse("fe80::1"), interface=1
        ),
    ),
    dns={"nameservers": ["10.96.0.10"]},
)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_result_in_each_version(version: str) -> None:
    """1.0.0 dropped ``ips[].version``; 1.1.0 brought ``interfaces[].mtu``."""
    answer = json.loads(result_json(RESULT, version))
    has_family, has_mtu = version.startswith("0."), version == "1.1.0"

    assert answer == {
        "cniVersion": version,
        "interfaces": [
            {"name": "cali1", "mac": "ee:ee:ee:ee:ee:ee", **({"mtu": 1450} if has_mtu else {})},
            {
                "name": "eth0",
                "mac": "02:00:00:00:00:01",
                "sandbox": "/run/netns/x",
                **({"mtu": 1450} if has_mtu else {}),
            },
        ],
        "ips": [
            {
                "interface": 1,
                "address": "10.244.0.5/32",
                "gateway": "169.254.1.1",
                **({"version": "4"} if has_family else {}),
            },
            {
                "interface": 1,
                "address": "fd00:10:244::5/128",
                "gateway": "fe80::1",
                **({"version": "6"} if has_family else {}),
            },
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "169.254.1.1"},
            {"dst": "::/0", "gw": "fe80::1"},
        ],
        "dns": {"nameservers": ["10.96.0.10"]},
    }


def test_an_error_object_is_one_line() -> None:
    """The shim prints it after one digit and reads to the end of the line."""
    line = error_json(CniError(ErrorCode.KERNEL, "two\nlines"), "1.0.0")

    assert json.loads(line) == {"cniVersion": "1.0.0", "code": 100, "msg": "chita: two\nlines"}
    assert b"\n" not in line
