"""The command that makes the tables of evidence: its arithmetic, its pages, its files."""

import sys
from pathlib import Path

import pytest

from trimtab import sim

sys.path.insert(0, str(Path(__file__).parents[1] / "evidence"))

from evidence import Mode, Study, Table, page, raw, recovered, used_again, with_interval
from evidence.interval import interval

SCENARIO = {
    "name": "small",
    "duration": "2s",
    "traffic": {"loads": [0.5, 0.8]},
    "classes": [{"name": "all", "work": {"exponential": "10ms"}}],
    "servers": [{"name": "s", "count": 4}],
}
PAGE = "# Small\n\n<!-- table: small -->\nold\n<!-- end -->\n\nProse stays.\n"


def table(folder: Path, mode: Mode = Mode.FULL, only: list[str] | None = None) -> Table:
    if not (folder / "README.md").exists():
        (folder / "README.md").write_text(PAGE)
    return Table(folder, mode, folder, only)


def play(table: Table) -> Study:
    study = table.study("small", SCENARIO, policies=["random", "least_request"], seeds=3)
    table.compare("small", study, [page.P99], load=0.8)
    table.finish()
    return study


def test_means_and_ratios_are_the_simulators() -> None:
    results = sim.run(SCENARIO, policies=["random", "least_request"], seeds=4, progress=False)
    study = Study("small", results.document["runs"])
    for one in results.document["summary"]:
        found = study.interval(one["policy"], "p99_ms", one["load"])
        assert found is not None
        theirs = one["metrics"]["p99_ms"]
        assert (found.mean, found.low, found.high) == pytest.approx(
            (theirs["mean"], theirs["low"], theirs["high"]), rel=1e-4
        )
        if one["against"] is not None:
            ratio = study.ratio("least_request", "random", "p99_ms", one["load"])
            assert ratio is not None
            assert ratio.mean == pytest.approx(one["against"]["p99_ms"]["ratio"])
            assert ratio.low == pytest.approx(one["against"]["p99_ms"]["low"], rel=1e-4)


def test_the_same_runs_make_the_same_files(tmp_path: Path) -> None:
    play(table(tmp_path))
    first = [(tmp_path / name).read_bytes() for name in ("results.json", "README.md")]
    play(table(tmp_path))
    assert first == [(tmp_path / name).read_bytes() for name in ("results.json", "README.md")]
    text = first[1].decode()
    assert "old" not in text and "| `random` |" in text and text.endswith("Prose stays.\n")


def test_pages_come_from_the_raw_data_alone(tmp_path: Path) -> None:
    played = play(table(tmp_path))
    (tmp_path / "README.md").write_text(PAGE)
    read = table(tmp_path, Mode.PAGES).study("small", SCENARIO)
    assert read.mean("random", "p99_ms", 0.5) == pytest.approx(
        played.mean("random", "p99_ms", 0.5), rel=1e-5
    )
    with pytest.raises(ValueError, match="no raw data of `other`"):
        table(tmp_path, Mode.PAGES).study("other", SCENARIO)
    with pytest.raises(ValueError, match="no study `other`"):
        table(tmp_path, only=["other"]).finish()


def test_large_files_are_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "PLAIN_UP_TO", 100)
    play(table(tmp_path))
    assert [path.name for path in tmp_path.glob("results*")] == ["results.json.gz"]
    assert raw.read(tmp_path)["small"].loads == [0.5, 0.8]


def test_a_page_without_its_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing\n")
    with pytest.raises(ValueError, match=r"README.md: needs `<!-- table: small -->`"):
        page.fill(tmp_path / "README.md", "small", "")


def test_recovery_is_three_good_windows_in_a_row() -> None:
    errors = [0.0] * 100
    errors[60:65] = [0.5, 0.0, 0.0, 0.5, 0.005]
    timeline = {
        "window_s": 1.0,
        "start_s": [float(n) for n in range(100)],
        "p99_ms": [10.0] * 64 + [21.0] + [19.0] * 35,
        "error_rate": errors,
    }
    assert recovered(timeline, before=30, after=60) == 5.0
    assert recovered({**timeline, "p99_ms": [10.0] * 60 + [99.0] * 40}, before=30, after=60) is None
    held = {"in_flight": [[1.0] * 70 + [4.0] * 30, [6.0] * 100]}
    assert used_again(timeline, held, [0], after=60) == 10.0


def test_numbers_show_their_interval() -> None:
    shown = [with_interval(interval(v)) for v in ([52.1, 53.1], [1700.0, 1702.0], [None])]
    assert shown == ["52.6 ± 6.4", "1,701 ± 13", "-"]
    assert with_interval(interval([0.004])) == "0.004"
