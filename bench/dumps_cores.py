"""What the scanner finds in cores of programs that hold no key of their own: prints a Markdown table.

    python bench/dumps_cores.py [--write docs/crash-dumps.md]

Starts python, nginx and postgres where they are installed, takes a core of each with gcore, and scans it with
every detector, told nothing. Needs gdb, and root for postgres' own user. Everything found is shown, whatever
its confidence; it may never leave out a program that it could start.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dumps import put

PATIENCE = 60.0
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
IDLE = "import json, sqlite3, ssl, time; time.sleep(600)"


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nginx(folder: Path) -> list[str]:
    """A server of one line."""
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}} http {{ access_log off; server {{ listen 127.0.0.1:{free_port()}; return 200; }} }}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "log")]


def postgres(folder: Path) -> list[str]:
    """An empty cluster of nobody's."""
    os.chown(folder, 65534, 65534)
    data = folder / "data"
    made = [*NOBODY, "initdb", "-D", str(data), "--auth=trust", "-U", "nobody"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    return [*NOBODY, "postgres", "-D", str(data), "-c", "listen_addresses=", "-k", str(folder)]


@contextlib.contextmanager
def running(command: list[str], folder: Path) -> Iterator[int]:
    """The program's process id, once it sleeps."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        until = time.monotonic() + PATIENCE
        asleep = 0
        while asleep < 5 and time.monotonic() < until:  # noqa: PLR2004 - looks in a row
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            asleep = asleep + 1 if state == "S" else 0
            time.sleep(0.2)
        if process.poll() is not None:
            raise SystemExit(f"{command[0]} ended: {(folder / 'output').read_text()[-500:]}")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def core_of(name: str, folder: Path) -> Path:
    """A core of a program."""
    folder.mkdir()
    commands = {"python": lambda _: [sys.executable, "-c", IDLE], "nginx": nginx, "postgres": postgres}
    with running(commands[name](folder), folder) as pid:
        target = folder.parent / f"{name}.core"
        subprocess.run(["gcore", "-o", str(target), str(pid)], check=True, capture_output=True)
    return Path(f"{target}.{pid}")


def found_in(core: Path) -> tuple[float, str]:
    """Megabytes that were read, and what was found."""
    command = [sys.executable, "-m", "sealwright_dumps", "scan", "--json", "--quiet", str(core)]
    body = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    kinds = Counter((f["kind"], f["algorithm"], f["confidence"]) for f in body["findings"])
    told = "; ".join(
        f"{count} {' '.join(part for part in kind if part)}" for kind, count in sorted(kinds.items())
    )
    return body["bytes_read"] / 1e6, told or "nothing"


def main() -> int:
    """A core of each program that is here, and the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="document whose table is replaced")
    options = parser.parse_args()
    lines = ["| program | MB | found |", "|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o755)
        for name, needs in (("python", "gcore"), ("nginx", "nginx"), ("postgres", "initdb")):
            if shutil.which("gcore") is None or shutil.which(needs) is None:
                lines.append(f"| {name} | | not installed |")
                continue
            size, told = found_in(core_of(name, Path(temporary) / name))
            lines.append(f"| {name} | {size:.0f} | {told} |")
    text = "\n".join(lines)
    print(text)
    if options.write:
        put(options.write, "cores", text, "bench/dumps_cores.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
