"""A PostgreSQL of one's own for tests and for the load script, where the machine has the server's programs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SERVER_FOLDERS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
"""Where Debian has the programs, the newest version first."""


def program(name: str) -> str | None:
    """The path of one of the server's programs."""
    for folder in SERVER_FOLDERS:
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


@contextmanager
def server(certificate: Mapping[str, str] | None = None, **settings: str) -> Iterator[str]:
    """A running server; the address of its database `feed`, owned by the account `feed`.

    Args:
        certificate: `ssl_key_file` and `ssl_cert_file`; without them nothing is encrypted.
    """
    initdb, postgres = program("initdb"), program("postgres")
    assert initdb is not None
    assert postgres is not None
    # The server refuses to run as root; Debian's package brings an account for it.
    other: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="swarmlight-postgresql-"))
    process = None
    try:
        if other:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        subprocess.run([initdb, "-D", data, "-A", "trust", "-U", "feed", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
                       check=True, capture_output=True, cwd="/", **other)  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for name, path in (certificate or {}).items():
            # The server takes a key that is its own and nobody else's.
            settings |= {"ssl": "on", name: shutil.copy(path, str(folder))}
            Path(settings[name]).chmod(0o600)
            if other:
                shutil.chown(settings[name], "postgres")
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), **settings}
        command = [postgres, "-D", data, "-p", str(port)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **other)
        address = f"postgresql://feed@127.0.0.1:{port}/"
        _wait(process, folder, port)
        run(address + "postgres", "CREATE DATABASE feed")
        yield address + "feed"
    finally:
        if process is not None:
            # Its fast shutdown, which waits for no client.
            process.send_signal(signal.SIGINT)
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def run(address: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(address.replace("postgresql://", "postgresql+pg8000://"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _wait(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    import time

    import pg8000

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            pg8000.connect(user="feed", host="127.0.0.1", port=port, database="postgres").close()
        except (OSError, pg8000.Error):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:])
