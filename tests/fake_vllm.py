"""A Python that stands in for the one `sluice serve` runs: it plays venv, pip and vLLM's server.

`write_python` writes it as a program. Each call is added to calls.txt beside the environments; what
it does is set by environment variables:

    FAKE_PIP_FAILS    a text: pip fails where its arguments hold it
    FAKE_PIP_SLEEPS   seconds that pip takes
    FAKE_VLLM         ready (the default), dies, hangs, unlisted, stubborn, sickens
"""

import json
import sys
from pathlib import Path

PROGRAM = f"""\
#!{sys.executable}
import json, os, shutil, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

here = Path(sys.argv[0]).absolute()
words = sys.argv[1:]


def note(place):
    with (place / "calls.txt").open("a") as calls:
        calls.write(" ".join(words) + "\\n")


def option(name):
    return words[len(words) - 1 - words[::-1].index(name) + 1]


def make_environment(directory):
    note(directory.parent)
    (directory / "bin").mkdir(parents=True)
    shutil.copy(here, directory / "bin" / "python")


def pip():
    note(here.parents[2])
    print("Collecting", words[-1], flush=True)
    time.sleep(float(os.environ.get("FAKE_PIP_SLEEPS", "0")))
    fails = os.environ.get("FAKE_PIP_FAILS")
    if fails and fails in " ".join(words):
        sys.exit("ERROR: no space left on device")


class Handler(BaseHTTPRequestHandler):
    asked = 0

    def do_GET(self):
        name = "another" if how == "unlisted" else option("--served-model-name")
        data = json.dumps({{"data": [{{"id": name}}]}}).encode()
        Handler.asked += self.path == "/health"
        self.send_response(503 if how == "sickens" and Handler.asked > 1 else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


def serve():
    note(here.parents[2])
    (here.parents[2] / "variables.json").write_text(json.dumps(dict(os.environ)))
    print("starting", flush=True)
    if how == "dies":
        print("ValueError: the model has no such layer", flush=True)
        print("RuntimeError: Engine core initialization failed", flush=True)
        sys.exit(0)
    if how == "hangs":
        time.sleep(60)
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = "import time; time.sleep(60)"
        worker = subprocess.Popen([sys.executable, "-c", code])
        (here.parents[2] / "worker.txt").write_text(str(worker.pid))
    HTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()


how = os.environ.get("FAKE_VLLM", "ready")
if words[:2] == ["-m", "venv"]:
    make_environment(Path(words[2]))
elif words[:2] == ["-m", "pip"]:
    pip()
elif words[0] == "-c":
    note(here.parents[2])
else:
    serve()
"""


def write_python(path: Path) -> Path:
    """Write the program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROGRAM)
    path.chmod(0o755)
    return path


def write_environment(place: Path, name: str) -> Path:
    """A complete environment, as a set-up leaves it."""
    directory = place / name
    write_python(directory / "bin" / "python")
    (directory / "complete.json").write_text("{}")
    return directory


def write_model(directory: Path, window: int = 512) -> Path:
    """A folder that passes for a model."""
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"max_position_embeddings": window}))
    return directory


def calls(place: Path) -> list[str]:
    """What the program was called with, in order."""
    file = place / "calls.txt"
    return file.read_text().splitlines() if file.exists() else []


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
