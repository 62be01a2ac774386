"""The command line: what it prints, and one clear line and exit code 2 for bad input."""

import json
import subprocess
import sys

import pytest

from decision_rows import rows, write
from trimtab.cli import main


@pytest.fixture
def log(tmp_path):
    return write(tmp_path / "a.jsonl", rows())


@pytest.fixture
def model(log, tmp_path, capsys):
    assert main(["train", str(log), "-o", str(tmp_path / "m.qtable")]) == 0
    capsys.readouterr()
    return tmp_path / "m.qtable"


def test_train_prints_coverage_archetypes_gain_and_advice(log, tmp_path, capsys):
    out = tmp_path / "m.qtable"
    assert main(["train", str(log), "-o", str(out)]) == 0
    printed = capsys.readouterr()
    for part in ("2,000 rows read", "Coverage by cell", "Archetypes", "2.49 x", "Advice: enable"):
        assert part in printed.out, printed.out
    assert f"Wrote {out}" in printed.out
    assert printed.err == "", "no progress bar where nobody watches"
    assert out.stat().st_size > 100


def test_train_as_json(log, tmp_path, capsys):
    out = tmp_path / "m.qtable"
    arguments = ["train", str(log), "-o", str(out), "--min-rows", "50", "--json"]
    assert main([*arguments, "--archetype-labels", "archetype"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["min_rows"] == 50
    assert report["advice"]["enable"] is True


def test_evaluate_and_inspect(log, model, capsys):
    assert main(["evaluate", str(model), str(log)]) == 0
    text = capsys.readouterr().out
    for part in ("effective sample size", "SNIPS", "What these numbers do not prove"):
        assert part in text, text
    assert main(["evaluate", str(model), str(log), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["used"] == 2000
    assert main(["inspect", str(model)]) == 0
    shown = capsys.readouterr().out
    assert "service ms" in shown
    assert f" train {log}" in shown, "where it comes from"
    assert main(["inspect", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["long", "short"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "{tmp}/none.jsonl", "-o", "{tmp}/m"], "no such log"),
        (["train", "{tmp}/bad.jsonl", "-o", "{tmp}/m"], "missing: chosen, class, latency_ms"),
        (["train", "{log}", "-o", "{tmp}/no/m"], "no such directory"),
        (["train", "{log}", "-o", "{tmp}/m", "--min-rows", "-1"], "min_rows"),
        (["train", "{log}", "-o", "{tmp}/m", "--min-rows", "9" * 30], "min_rows"),
        (["train", "{log}", "-o", "{tmp}/m", "--archetype-labels", "gpu"], "labels"),
        (["evaluate", "{log}", "{log}"], "not a trimtab model"),
        (["evaluate", "{tmp}/none", "{log}"], "No such file"),
        (["inspect", "{log}"], "not a trimtab model"),
        (["inspect", "{tmp}/none"], "No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, log, tmp_path, capsys):
    write(tmp_path / "bad.jsonl", [{"status": "ok"}])
    assert main([a.format(tmp=tmp_path, log=log) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("trimtab: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("arguments", [[], ["steer"], ["train"], ["train", "a"], ["inspect"]])
def test_bad_usage_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: trimtab" in capsys.readouterr().err


def test_the_command_as_a_process(log, tmp_path):
    """Also that a reader that stops reading is no traceback."""
    command = [sys.executable, "-m", "trimtab.cli"]
    help_ = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    for name in ("train", "evaluate", "simulate", "inspect"):
        assert name in help_.stdout
    out = tmp_path / "m.qtable"
    arguments = [*command, "train", str(log), "-o", str(out)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) in (0, 141)
    assert process.stderr.read() == b""
    process.stderr.close()
