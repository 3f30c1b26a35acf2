"""A real ``chita server`` process on 127.0.0.1, the real kubectl, and a plain HTTPS client."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KUBECTL = Path(sys.executable).with_name("kubectl")
TOKEN = "0123456789abcdef-join"
START_S = 20.0
MAIN = "from chita.cli.commands.server import server; server()"


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer with its JSON body."""

    status: int
    body: dict[str, Any]


class Credentials(msgspec.Struct, frozen=True):
    """Files of a client certificate and its key."""

    certificate: Path
    key: Path


class ServerProcess:
    """One running server."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.kubeconfig = directory / "admin.kubeconfig"
        config = yaml.safe_load(self.kubeconfig.read_text())
        self.url: str = config["clusters"][0]["cluster"]["server"]
        self.authority = self._file(
            "ca.pem", config["clusters"][0]["cluster"], "certificate-authority-data"
        )
        user = config["users"][0]["user"]
        self.admin = Credentials(
            self._file("admin.crt", user, "client-certificate-data"),
            self._file("admin.key", user, "client-key-data"),
        )

    def _file(self, name: str, section: dict[str, str], field: str) -> Path:
        path = self.directory / name
        path.write_bytes(base64.b64decode(section[field]))
        return path

    def tls(self, credentials: Credentials | None) -> ssl.SSLContext:
        """Return a client's TLS settings."""
        context = ssl.create_default_context(cafile=str(self.authority))
        if credentials is not None:
            context.load_cert_chain(credentials.certificate, credentials.key)
        return context

    def connection(self, credentials: Credentials | None) -> http.client.HTTPSConnection:
        """Return an open connection."""
        place = urlsplit(self.url)
        assert place.hostname is not None
        return http.client.HTTPSConnection(
            place.hostname, place.port, context=self.tls(credentials), timeout=10
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        credentials: Credentials | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request as *credentials*, nobody by default."""
        connection = self.connection(credentials)
        try:
            text = None if body is None else json.dumps(body)
            given = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, text, given)
            response = connection.getresponse()
            content = response.read()
            try:
                return Answer(response.status, json.loads(content))
            except json.JSONDecodeError:
                return Answer(response.status, {"text": content.decode()})
        finally:
            connection.close()

    def as_admin(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request as the administrator."""
        return self.request(method, path, body, credentials=self.admin, headers=headers)

    def watch_lines(self, path: str) -> Iterator[dict[str, Any]]:
        """Return the events of a watch, until the server ends it."""
        connection = self.connection(self.admin)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            while line := response.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def join(
        self, node: str, token: str = TOKEN, credentials: Credentials | None = None
    ) -> tuple[Answer, Credentials]:
        """Join as *node* with a new key; the credentials' files are there if it was admitted."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        pem = csr.public_bytes(serialization.Encoding.PEM).decode()
        answer = self.request(
            "POST",
            "/chita/v1/join",
            {"node": node, "csr": pem},
            credentials=credentials,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        files = Credentials(self.directory / f"{node}.crt", self.directory / f"{node}.key")
        if answer.status == 200:
            files.certificate.write_text(answer.body["certificate"])
            files.key.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        return answer, files

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, with a home of its own."""
        return subprocess.run(
            [str(KUBECTL), *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kubectl_says(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl, which must succeed; return what it prints."""
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """kubectl's environment."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)}

    def kill(self) -> None:
        """End the process with no chance to clean up, as a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def running_server(
    directory: Path, *arguments: str, pass_fds: Sequence[int] = ()
) -> Iterator[ServerProcess]:
    """Run a server on *directory*, which a later one may take over."""
    token = directory / "token"
    token.write_text(TOKEN)
    kubeconfig = directory / "admin.kubeconfig"
    kubeconfig.unlink(missing_ok=True)
    log = directory / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-c", MAIN,
                "--data-dir", str(directory / "data"),
                "--listen", "127.0.0.1:0",
                "--kubeconfig", str(kubeconfig),
                "--join-token-file", str(token),
                *arguments,
            ],
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_S
        # The file appears whole, and after the socket listens.
        while not kubeconfig.exists():
            assert process.poll() is None, f"the server ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"the server did not start: {log.read_text()}"
            time.sleep(0.02)
        yield ServerProcess(process, directory)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(15)
