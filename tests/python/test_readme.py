"""The README's uses run as they are printed."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRIMTAB = Path(sys.executable).parent / "trimtab"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(start: str) -> list[list[str]]:
    """The README's console lines that begin with ``start``."""
    lines = "".join(blocks("console")).splitlines()
    return [
        line.removeprefix("$ ").split(" &")[0].split()
        for line in lines
        if line.startswith(f"$ {start}")
    ]


def need(port: int) -> None:
    """Fails clearly if the README's ``port`` is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            pytest.fail(f"the README's mock servers need port {port} of 127.0.0.1: {error}")


@pytest.fixture(scope="module")
def servers():
    for command in commands("trimtab mock"):
        need(int(command[command.index("--port") + 1]))
    started = [
        subprocess.Popen([str(TRIMTAB), *command[1:]], stdout=subprocess.PIPE)
        for command in commands("trimtab mock")
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline(), "the mock server did not start"
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


def run(command: list[str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command} said:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("servers")
class TestReadme:
    """In the README's order: the training reads the log that the Python use wrote."""

    def test_python(self, workplace):
        (source,) = blocks("python")
        (workplace / "use.py").write_text(source)
        out = run([sys.executable, "use.py"], workplace)
        assert "9101" in out
        assert "9102" in out
        assert (workplace / "decisions.jsonl").stat().st_size > 0

    def test_training(self, workplace):
        lines = (
            commands("trimtab train") + commands("trimtab inspect") + commands("trimtab evaluate")
        )
        assert len(lines) == 3
        for line in lines:
            assert run([str(TRIMTAB), *line[1:]], workplace)

    def test_simulation(self, workplace):
        lines = commands("trimtab simulate")
        assert len(lines) == 2
        for line in lines:
            assert "prequal" in run([str(TRIMTAB), *line[1:]], workplace)
        assert (workplace / "out" / "mine" / "report.html").stat().st_size > 0

    @pytest.mark.skipif(shutil.which("cargo") is None, reason="needs a Rust toolchain")
    def test_rust(self):
        (source,) = blocks("rust")
        assert source == (ROOT / "examples" / "readme.rs").read_text(encoding="utf-8")
        example = ["--features", "tonic", "--example", "readme"]
        out = run(["cargo", "run", "--quiet", "--locked", "-p", "tower-lb", *example], ROOT)
        assert "GenerateResponse" in out
