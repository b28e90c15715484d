"""The whole of Countersign on this machine, from an empty folder of state to an open API."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

import psycopg
from psycopg import sql

from local import aws as emulated
from local import gateway as front
from local import postgres, processes, routes
from local.aws import Aws
from local.deploy import Stack, deploy, invoke, is_deployed, outputs
from local.gateway import Gateway
from local.locks import exclusive
from local.logs import FunctionLogs
from local.models.server import ModelServer
from local.postgres import Cluster
from local.providers import simulator as providers
from local.providers.simulator import Simulator
from local.state import CHECKOUT, State
from tools import sam

APPLICATION, MIGRATIONS = "countersign", "countersign-migrations"
STAGE = "local"
DATABASE = "countersign"
MODELS_PORT, POSTGRES_PORT = 8410, 8432

# What the built templates come from.
SOURCES = ("layers", "requirements", "tools/package.py")
APPLICATION_SOURCES = ("template.yaml", "functions", *SOURCES)
MIGRATIONS_SOURCES = ("infra/migrations.yaml", "migrations", "functions/migrations", *SOURCES)

Report = Callable[[str], None]


@dataclass(frozen=True)
class Local:
    """All that runs; `migrations` answers the events of the migrations function."""

    state: State
    cluster: Cluster
    aws: Aws
    gateway: Gateway
    simulator: Simulator
    logs: FunctionLogs

    @property
    def outputs(self) -> dict[str, str]:
        """What the application's stack says of itself: queue addresses, buckets."""
        return outputs(self.aws, APPLICATION)

    def migrations(self, action: str, **options: Any) -> Any:
        """The migrations function's answer to an event. Raises DeployFailed."""
        function = outputs(self.aws, MIGRATIONS)["MigrationsFunctionName"]
        return invoke(self.aws, function, {"action": action, **options})


@contextmanager
def running(state: State, report: Report, *, pace: float = 0.3) -> Iterator[Local]:
    """Run everything during the block; raises AlreadyRunning if another process does with `state`.

    `report` is told each step as it begins; `pace` is the simulated providers' (see `Simulator`).
    """
    with ExitStack() as open_:
        open_.enter_context(exclusive(state.folder / "lock"))
        # Before ports are taken: leftovers hold the usual ones.
        stop_leftovers(state)
        report("Starting PostgreSQL, the emulated AWS, the models and the providers")
        port = open_.enter_context(state.port("models", MODELS_PORT))
        models_url = f"http://127.0.0.1:{port}/v1"
        models = open_.enter_context(_models(state, port))
        port = open_.enter_context(state.port("postgres", POSTGRES_PORT))
        cluster = open_.enter_context(postgres.running(state.folder / "postgres", tcp_port=port))
        port = open_.enter_context(state.port("providers", providers.USUAL_PORT))
        simulator = open_.enter_context(Simulator(port, pace=pace))
        aws = open_.enter_context(emulated.running(state, AWS_ENDPOINT_URL_SESV2=simulator.url))
        port = open_.enter_context(state.port("api", front.USUAL_PORT))
        gateway = open_.enter_context(front.running(aws.endpoint, port))
        processes.wait_for(models, f"{models_url}/models", state.logs / "models.log")
        local = Local(state, cluster, aws, gateway, simulator, FunctionLogs(state, aws))
        _bring_up(local, models_url, report)
        yield local


def stop_leftovers(state: State) -> None:
    """Stop what a run that was killed left behind."""
    for name in state.read("processes"):
        processes.stop_leftover(state, name)
    postgres.stop_leftover(state.folder / "postgres")


def _models(state: State, port: int) -> "AbstractContextManager[Popen[bytes]]":
    """The model server, in an environment of its own and on its way: it loads for a second."""
    key = state.secret("models")
    command = [sys.executable, "-m", "local.models", "--port", str(port), f"--key={key}"]
    environment = {"PATH": os.defpath, "HOME": str(state.folder), "LANG": "C.UTF-8"}
    return processes.child(state, "models", command, environment=environment, folder=CHECKOUT)


def _bring_up(local: Local, models_url: str, report: Report) -> None:
    known = local.state.read("deployed")
    fresh = _create_database(local.cluster)
    parameters = _database(local) | _embedding(local, models_url)
    migrations = _stack(MIGRATIONS, parameters)
    if fresh or not is_deployed(local.state, local.aws, migrations):
        report("Building the migrations and deploying them")
        sam.build("infra/migrations.yaml")
        deploy(local.state, local.aws, migrations)
        report("Making the database's roles and tables")
        local.migrations("pre")
    parameters |= outputs(local.aws, MIGRATIONS) | _providers(local, models_url)
    application = _stack(APPLICATION, parameters)
    if fresh or not is_deployed(local.state, local.aws, application):
        report("Building the application and deploying it")
        sam.build("template.yaml")
        deploy(local.state, local.aws, application)
        routes.create_routes(local.aws, APPLICATION)
        local.migrations("post")
    if local.state.read("deployed") != known:
        local.aws.save()
    local.gateway.open(outputs(local.aws, APPLICATION)["ApiId"])


def _create_database(cluster: Cluster) -> bool:
    """Whether the database had to be made."""
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return True


def _database(local: Local) -> dict[str, str]:
    """Parameters that every stack has, and the secret of the database's master user."""
    machine = platform.machine().lower()
    master = {"username": local.cluster.user, "password": local.cluster.password}
    secret = local.aws.put_secret(f"countersign/{STAGE}/database-master", json.dumps(master))
    return {
        "Stage": STAGE,
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Architecture": "arm64" if machine in ("arm64", "aarch64") else "x86_64",
        "PublicUrl": local.gateway.url,
        "DatabaseHost": str(local.cluster.host),
        "DatabasePort": str(local.cluster.port),
        "DatabaseName": DATABASE,
        "DatabaseSslMode": "disable",
        "MasterSecretArn": secret,
    }


def _embedding(local: Local, models_url: str) -> dict[str, str]:
    """Parameters of the embedding model."""
    return {
        "EmbeddingProvider": "openai",
        "EmbeddingModel": ModelServer.embedding_model,
        "EmbeddingBaseUrl": models_url,
        "EmbeddingSecretArn": _models_secret(local),
        "EmbeddingDimensions": str(ModelServer.embedding_dimensions),
    }


def _providers(local: Local, models_url: str) -> dict[str, str]:
    """Parameters of what the application calls."""
    return {
        "CrawlAllowedNetworks": "127.0.0.0/8",
        "TwilioApiUrl": local.simulator.url,
        "SendgridApiUrl": local.simulator.url,
        "ChatProvider": "openai",
        "ChatModel": ModelServer.chat_model,
        "ChatBaseUrl": models_url,
        "ChatSecretArn": _models_secret(local),
        # Here nothing is saved by letting the database sleep.
        "RelaySchedule": "rate(1 minute)",
    }


def _models_secret(local: Local) -> str:
    return local.aws.put_secret(f"countersign/{STAGE}/models-key", local.state.secret("models"))


def _stack(name: str, parameters: Mapping[str, str]) -> Stack:
    """The stack; parameters that its template does not declare are left out by `sam`."""
    template, sources = {
        MIGRATIONS: ("infra/migrations.yaml", MIGRATIONS_SOURCES),
        APPLICATION: ("template.yaml", APPLICATION_SOURCES),
    }[name]
    built = CHECKOUT / sam.BUILT[template] / "template.yaml"
    return Stack(name, built, [CHECKOUT / each for each in sources], parameters)
