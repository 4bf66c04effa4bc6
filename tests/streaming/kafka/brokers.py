"""Brokers for tests: Apache Kafka from `KAFKA_HOME` through its official scripts, or `noida-db` where there is none."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

START_S: Final = 180.0
"""Longest start seen on two busy cores is 15 s."""

SHORT_LIVED: Final = {
    "KAFKA_HEAP_OPTS": "-Xms128m -Xmx512m",
    "KAFKA_JVM_PERFORMANCE_OPTS": "-server -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto",
}
"""For a broker that lives minutes: without the second compiler and a collector's threads it takes half the CPU."""

OUT_OF_THE_WAY: Final = (15_000, 32_000)
"""Ports below those that Linux gives to clients (32768 to 60999): a broker starts for seconds before it listens."""

CLUSTER_ID: Final = "5L6g3nShT-eMCtK--X86sw"


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now, and which no client is given for its end of a connection meanwhile."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.SystemRandom().randrange(*OUT_OF_THE_WAY)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


def kafka_home() -> Path | None:
    """The folder of an Apache Kafka, where the environment names one and there is a Java to run it."""
    home = os.environ.get("KAFKA_HOME", "")
    if not home or shutil.which("java") is None:
        return None
    path = Path(home).resolve()
    return path if (path / "bin" / "kafka-server-start.sh").exists() else None


class Broker(ABC):
    """One broker process on 127.0.0.1 that can be stopped, crashed and started again on the same data."""

    name = "broker"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""

    @abstractmethod
    def command(self) -> list[str]: ...

    def start(self) -> None:
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, cwd=self.folder, env=os.environ | SHORT_LIVED
            )
        self._wait()

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def crash(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        host, port = self.address.split(":")
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection((host, int(port)), 1).close()
                if self._answers():
                    return
            except (OSError, KafkaError):
                pass
            time.sleep(0.1)
        tail = (self.folder / "broker.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.name} did not start:\n{tail}")

    def _answers(self) -> bool:
        KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=2000).close()
        return True


class ApacheKafka(Broker):
    """One KRaft node. `extra` properties win over those below; `security` names the clients' listener protocol."""

    name = "Apache Kafka"

    def __init__(
        self,
        folder: Path,
        home: Path,
        extra: Mapping[str, str] | None = None,
        format_options: tuple[str, ...] = (),
        *,
        standalone: bool = True,
    ) -> None:
        super().__init__(folder)
        self.home = home
        client, controller, internal = free_ports(3)
        self.controller = controller
        self.secured = bool(extra and "SASL" in extra.get("listener.security.protocol.map", ""))
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"CLIENT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller},INTERNAL://127.0.0.1:{internal}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}",
            "inter.broker.listener.name": "INTERNAL",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "log.dirs": str(folder / "log"),
            "auto.create.topics.enable": "false",
            "num.partitions": "1",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # Without it a restart after SIGKILL waits 12 s for the old registration to lapse.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.retention.check.interval.ms": "1000",
            **(extra or {}),
        }
        self.address = re.findall(r"CLIENT://([^,]+)", properties["listeners"])[0]
        self.properties = folder / "server.properties"
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        subprocess.run(
            [
                str(home / "bin" / "kafka-storage.sh"),
                "format",
                *(("--standalone",) if standalone else ()),
                *format_options,
                *("-c", str(self.properties), "-t", CLUSTER_ID),
            ],
            check=True,
            capture_output=True,
            env=os.environ | SHORT_LIVED,
        )

    def command(self) -> list[str]:
        return [str(self.home / "bin" / "kafka-server-start.sh"), str(self.properties)]

    def _answers(self) -> bool:
        return True if self.secured else super()._answers()


class Cluster(Broker):
    """Three brokers with three copies of everything, two of which have to be there; the first is the controller too.

    What is done to it as to one broker (`crash`, `start`) is done to all.
    """

    name = "cluster"

    def __init__(self, folder: Path, home: Path) -> None:
        super().__init__(folder)
        copies = {
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "offsets.topic.replication.factor": "3",
            "transaction.state.log.replication.factor": "3",
            "transaction.state.log.min.isr": "2",
        }
        self.nodes: list[ApacheKafka] = []
        for number in (1, 2, 3):
            place = folder / str(number)
            place.mkdir()
            joins = {} if not self.nodes else self._joins(number)
            self.nodes.append(ApacheKafka(place, home, copies | joins, standalone=not self.nodes))
        self.address = ",".join(node.address for node in self.nodes)

    def _joins(self, number: int) -> dict[str, str]:
        client, internal = free_ports(2)
        return {
            "process.roles": "broker",
            "node.id": str(number),
            "listeners": f"CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal}",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.nodes[0].controller}",
        }

    def command(self) -> list[str]:
        raise NotImplementedError("its nodes have commands")

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        """End all, the controller last: brokers ask it whether they may."""
        for node in reversed(self.nodes):
            node.stop()

    def crash(self) -> None:
        for node in self.nodes:
            node.crash()


class NoidaDb(Broker):
    """The small broker from PyPI: known to be wrong where docs/explanation/kafka.md says so, good for one worker."""

    name = "noida-db"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"

    def command(self) -> list[str]:
        # The script `noida-db` runs the program as a child, which would outlive it.
        program = str(files("noida_db").joinpath("noida-db"))
        Path(program).chmod(0o755)
        port = self.address.rpartition(":")[2]
        return [program, "start", "--data-dir", str(self.folder / "data"), "--only", "kafka", "--kafka-port", port]


def make_broker(folder: Path | None = None) -> Broker:
    """The best broker this machine can run, started: Apache Kafka, else `noida-db`."""
    folder = folder or Path(tempfile.mkdtemp(prefix="swarmlight-broker-"))
    home = kafka_home()
    broker: Broker = ApacheKafka(folder, home) if home is not None else NoidaDb(folder)
    broker.start()
    return broker
