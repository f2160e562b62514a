"""Object stores on loopback and the environments that lead to them: moto's S3, our Google, Microsoft's Azurite.

``python -m tests.object_store gs`` starts one, prints the variables to export, and serves until Ctrl-C.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.gcs_server import GoogleStorage, serving

BUCKET = "films"


@dataclass(frozen=True)
class Service:
    """A running store with the bucket :data:`BUCKET`.

    Attributes:
        environment: what leads there, with credentials that are right.
        wrong: what to change for credentials that it does not know.
        nobody: what to change for an endpoint where nobody listens.
        google: the server itself, where it is ours.
    """

    environment: Mapping[str, str]
    wrong: Mapping[str, str]
    nobody: Mapping[str, str]
    google: GoogleStorage | None = None


# ---- Amazon


@contextlib.contextmanager
def s3_service() -> Iterator[Service]:
    """Serve S3 from this process's memory, to whoever has a user's key."""
    from moto import settings
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = _keys_of_a_user()
    try:
        _put(f"http://{host}:{port}/{BUCKET}")
        settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # from now on signatures are checked
        yield Service(
            {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{host}:{port}"},
            wrong={"AWS_SECRET_ACCESS_KEY": "another"},
            nobody={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"},
        )
    finally:
        server.stop()


def _keys_of_a_user() -> dict[str, str]:
    """Of one who may do everything in every bucket."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.iam.models import iam_backends

    users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    users.create_user(region_name="us-east-1", user_name=BUCKET)
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    users.put_user_policy(BUCKET, "all", json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    key = users.create_access_key(BUCKET)
    return {"AWS_ACCESS_KEY_ID": key.access_key_id, "AWS_SECRET_ACCESS_KEY": key.secret_access_key}


# ---- Google


@contextlib.contextmanager
def gs_service() -> Iterator[Service]:
    """Serve Google's XML API from this process's memory, to whoever has the service account's key."""
    storage = GoogleStorage(BUCKET)
    with serving(storage) as url, tempfile.TemporaryDirectory() as folder:

        def account(name: str, text: str) -> dict[str, str]:
            path = Path(folder, name)
            path.write_text(text)
            return {"GOOGLE_SERVICE_ACCOUNT": str(path)}

        yield Service(
            account("account.json", storage.service_account(url)),
            wrong=account("stranger.json", GoogleStorage().service_account(url)),
            nobody=account("nobody.json", storage.service_account(f"http://127.0.0.1:{free_port()}")),
            google=storage,
        )


# ---- Azure


@contextlib.contextmanager
def az_service() -> Iterator[Service]:
    """Start Azurite; RuntimeError where it is not installed (``make`` does it, with npm)."""
    account, key, stranger = "vclipper", *(base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    process = subprocess.Popen(
        [azurite(), "--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobPort", "0"],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        endpoint = f"{_where_it_listens(process)}/{account}"
        _make_container(endpoint, account, key)
        yield Service(
            {
                "AZURE_STORAGE_ACCOUNT_NAME": account,
                "AZURE_STORAGE_ACCOUNT_KEY": key,
                "AZURE_STORAGE_ENDPOINT": endpoint,
            },
            wrong={"AZURE_STORAGE_ACCOUNT_KEY": stranger},
            nobody={"AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{free_port()}/{account}"},
        )
    finally:
        process.terminate()
        process.wait()


def azurite() -> str:
    """The program, on the path or where ``make`` puts it."""
    ours = Path(sys.prefix, "azurite", "node_modules", ".bin")
    found = shutil.which("azurite-blob") or shutil.which("azurite-blob", path=str(ours))
    if found is None:
        raise RuntimeError("azurite-blob is missing: `make test` installs it where there is npm")
    return found


def _where_it_listens(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if "successfully listens on" in line:
            return line.split()[-1]
    raise RuntimeError(f"azurite-blob ended with exit code {process.wait()}")


def _make_container(endpoint: str, account: str, key: str) -> None:
    """Signed as https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key says."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = "PUT" + "\n" * 12 + f"{named}/{account}/{account}/{BUCKET}\nrestype:container"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    signature = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    _put(f"{endpoint}/{BUCKET}?restype=container", **headers, Authorization=signature)


# ---- all


SERVICES: dict[str, Callable[[], AbstractContextManager[Service]]] = {
    "s3": s3_service,
    "gs": gs_service,
    "az": az_service,
}


def _put(url: str, **headers: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=10).close()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve one store until Ctrl-C, or until it is told to end."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(ending, signal.default_int_handler)
    with SERVICES[sys.argv[1]]() as service, contextlib.suppress(KeyboardInterrupt):
        for name, value in service.environment.items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
