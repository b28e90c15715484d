"""The emulated AWS: a ministack of our own, reached by the SDK's usual settings."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from subprocess import Popen
from typing import Any

from local import processes
from local.errors import LocalError
from local.state import CHECKOUT, State

INTERPRETER = CHECKOUT / ".local" / "aws" / "bin" / "python"
SAM = CHECKOUT / ".local" / "sam"
SERVER = Path(__file__).with_name("aws_server.py")
REGION = "us-east-1"
ACCOUNT = "000000000000"
USUAL_PORT = 4566
# The emulator's administrator. Functions get the credentials of their own role.
ROOT_KEY = "test"


class Unreachable(LocalError):
    """The emulator gives no answer, or not a whole one: it has ended, or is about to."""


@dataclass(frozen=True)
class Aws:
    """A running emulator."""

    endpoint: str

    def environment(self) -> dict[str, str]:
        """What makes the AWS SDKs and tools talk to it, and to no real account by mistake."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator."""
        import boto3
        from botocore.config import Config

        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ROOT_KEY,
            aws_secret_access_key=ROOT_KEY,
            config=Config(read_timeout=900, retries={"max_attempts": 0}),
        )

    def signed_headers(self, service: str, form: bytes) -> dict[str, str]:
        """The headers of a request with this form, made now."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = AWSRequest("POST", self.endpoint, headers=headers, data=form)
        SigV4Auth(Credentials(ROOT_KEY, ROOT_KEY), service, REGION).add_auth(request)
        return dict(request.headers.items())

    def put_secret(self, name: str, value: str) -> str:
        """Make the secret, or rotate it if it holds another value; returns its ARN."""
        client = self.client("secretsmanager")
        try:
            found = client.get_secret_value(SecretId=name)
            if found["SecretString"] != value:
                client.put_secret_value(SecretId=name, SecretString=value)
        except client.exceptions.ResourceNotFoundException:
            found = client.create_secret(Name=name, SecretString=value)
        return str(found["ARN"])

    def warm(self, count: int = 1) -> None:
        """Start `count` workers of each function, so that the first calls find them ready.

        Raises ProcessFailed naming the functions that do not start, and why.
        """
        failed = self._call(f"/_local/warm?count={count}")["failed"]
        if failed:
            causes = "; ".join(f"{name}: {cause}" for name, cause in sorted(failed.items()))
            raise processes.ProcessFailed(f"these functions do not start: {causes}")

    def save(self) -> None:
        """Write the state now: a killed emulator would lose all since its start."""
        self._call("/_local/save")

    def busy(self) -> int:
        """How many calls functions are working on."""
        return int(self._call("/_local/busy")["busy"])

    def _call(self, path: str) -> dict[str, Any]:
        request = urllib.request.Request(self.endpoint + path, method="POST")
        try:
            value: dict[str, Any] = json.loads(_body(request))
        except (OSError, HTTPException, ValueError) as error:
            raise Unreachable(f"the emulated AWS does not answer {path}: {error}") from error
        return value


def _body(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            body: bytes = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    return body


@contextmanager
def running(state: State, **variables: str) -> Iterator[Aws]:
    """Run the emulator with its state below `state`; stop it so that it saves that state.

    Functions find `variables` in their environment.
    """
    folder = state.folder / "aws"
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with (
        state.port("aws", USUAL_PORT) as port,
        _server(state, folder, temporary, port, variables) as process,
    ):
        aws = Aws(f"http://127.0.0.1:{port}")
        processes.wait_for(process, f"{aws.endpoint}/_ministack/ready", state.logs / "aws.log")
        yield aws
    shutil.rmtree(temporary, ignore_errors=True)


def _server(
    state: State, folder: Path, temporary: Path, port: int, variables: Mapping[str, str]
) -> "AbstractContextManager[Popen[bytes]]":
    return processes.child(
        state,
        "aws",
        [str(INTERPRETER), "-I", str(SERVER), str(port), str(folder / "layers"), _sam_packages()],
        environment=_environment(state, folder, temporary, port) | dict(variables),
        folder=folder,
    )


def _sam_packages() -> str:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(SAM / "lib" / python / "site-packages")


def _environment(state: State, folder: Path, temporary: Path, port: int) -> dict[str, str]:
    """All of it: what the emulator has in its environment, the functions find in theirs."""
    # Queue addresses hold the port of the first start, and are the queues' keys in the state.
    named = state.read("aws").get("port") or port
    state.write("aws", {"port": named})
    return {
        "PATH": os.defpath,
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(named),
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "LAMBDA_EXECUTOR": "local",
        # Policies hold: a function may do only what its role allows.
        "AUTH": "true",
        "DOCKER_HOST": "unix:///nonexistent",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "LOG_LEVEL": "INFO",
    }
