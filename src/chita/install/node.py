"""What a node gets from the init container, before its agent starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from chita.errors import InputError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where kubelet puts a pod's token and the cluster's certificate, the same in every pod."""


def in_cluster_kubeconfig(environment: Mapping[str, str]) -> str:
    """Return a kubeconfig for whoever runs in a pod, which names files instead of their contents.

    Raises:
        InputError: kubelet did not say where the API server is.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise InputError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a pod "
            "only; elsewhere give --kubeconfig"
        )
    where = f"[{host}]" if ":" in host else host
    cluster = {
        "server": f"https://{where}:{port}",
        "certificate-authority": str(ACCOUNT / "ca.crt"),
    }
    name = "chita"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"tokenFile": str(ACCOUNT / "token")}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return json.dumps(document, indent=2) + "\n"


def write_kubeconfig(path: Path, environment: Mapping[str, str]) -> None:
    """Write the kubeconfig of this pod at *path*, as a whole.

    Raises:
        InputError: kubelet did not say where the API server is, or *path* can't be written.
    """
    text = in_cluster_kubeconfig(environment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.rename(path)
    except OSError as error:
        raise InputError(f"write {path}: {error.strerror}") from error
