"""``trimtab simulate``: what it prints and writes, and what it refuses before it runs."""

import json

import pytest

from test_sim_run import SMALL
from trimtab import sim
from trimtab.cli import main


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def test_it_prints_the_table(small, capsys):
    assert main(["simulate", str(small), "--seeds", "3", "--loads", "0.6,0.7"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "", "no progress bar where nobody watches"
    lines = printed.out.splitlines()
    assert lines[0].startswith("policy") and "p99.9 ms" in lines[0]
    assert sum(line.startswith("peak_ewma") for line in lines) == 2
    assert sum(line.startswith("of three") for line in lines) == 2
    assert "Means over 3 seeds" in printed.out


def test_it_writes_what_is_asked_for(small, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    arguments = ["simulate", str(small), "--policy", "random", "--policy", "peak_ewma"]
    assert main([*arguments, "--seeds", "2", "--out", str(out), *files, "--threads", "1"]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "results.json", "runs.parquet"]
    assert f"Wrote {tmp_path / 'r.json'}" in capsys.readouterr().out
    assert (tmp_path / "r.json").read_bytes() == (out / "results.json").read_bytes()
    results = sim.Results.from_json(tmp_path / "r.json")
    assert results.policies == ["random", "peak_ewma"]
    assert results.seeds == [1, 2]
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == results.to_html()
    assert json.loads((out / "results.json").read_text())["format"] == 1


def test_quiet_prints_nothing(small, tmp_path, capsys):
    out = tmp_path / "r.parquet"
    assert main(["simulate", str(small), "--seeds", "1", "--quiet", "--parquet", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""
    assert out.stat().st_size > 0


def test_the_scenarios_that_come_along(capsys):
    assert main(["simulate", "--list"]) == 0
    listed = capsys.readouterr().out
    for name, shows in sim.scenarios().items():
        assert f"{name} " in listed and shows in listed
        assert main(["simulate", "--example", name]) == 0
        assert "[[servers]]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which scenario"),
        (["{tmp}/none.toml"], "none.toml: no such file"),
        (["--example", "none"], "no scenario 'none'"),
        (["{small}", "--policy", "peek"], "known are random"),
        (["{small}", "--loads", "11"], "load 11 must be"),
        (["{small}", "--loads", ","], "at least one load"),
        (["{small}", "--json", "{tmp}/no/r.json"], "cannot write {tmp}/no/r.json: no such"),
        (["{small}", "--html", "{tmp}"], "it is a directory"),
        (["{small}", "--out", "{small}"], "cannot write to {small}"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, small, tmp_path, capsys):
    places = {"tmp": tmp_path, "small": small}
    assert main(["simulate", *(a.format(**places) for a in arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("trimtab: ")
    assert printed.err.count("\n") == 1
    assert message.format(**places) in printed.err


def test_an_unknown_key_is_shown_where_it_stands(small, capsys):
    small.write_text(SMALL.replace("slo =", "sloo ="))
    assert main(["simulate", str(small)]) == 2
    said = capsys.readouterr().err
    assert "line 6, column 1" in said and '6 | sloo = "50ms"' in said


@pytest.mark.parametrize(
    "wrong", [["--seeds", "0"], ["--seeds", "x"], ["--loads", "a"], ["--threads", "0"]]
)
def test_bad_usage_is_exit_code_2(wrong, small, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", str(small), *wrong])
    assert stopped.value.code == 2
    assert "usage: trimtab simulate" in capsys.readouterr().err
