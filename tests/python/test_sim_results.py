"""What a simulation's results are to a program: tables, files, text."""

import json
import pickle
import sys

import pyarrow
import pyarrow.interchange
import pyarrow.parquet
import pytest

import sim_sample
import trimtab
from trimtab import sim


@pytest.fixture(scope="module")
def results():
    return sim.Results(sim_sample.as_text(policies=2, loads=(0.5, 0.9), servers=3, seeds=4))


def test_runs_are_a_table_of_their_own(results):
    runs = results.runs
    assert len(runs) == 2 * 2 * 4
    assert runs.columns[:3] == ["policy", "load", "seed"]
    assert runs["seed"][:5] == [1, 2, 3, 4, 1]
    assert runs[0]["policy"] == "peak_ewma"
    assert [row["load"] for row in runs] == runs["load"]
    assert runs is results.runs, "made once"
    with pytest.raises(KeyError, match="no column 'p98_ms'; there are policy, load"):
        runs["p98_ms"]


def test_pandas_and_polars_and_pyarrow_read_them(results):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    expected = results.runs["p99_ms"]
    frame = pandas.DataFrame.from_arrow(results.runs)
    assert frame["p99_ms"].tolist() == expected
    assert frame.groupby("policy")["requests"].sum().to_dict() == {
        "peak_ewma": 8 * 52000,
        "prequal": 8 * 52000,
    }
    assert pandas.DataFrame(list(results.runs))["p99_ms"].tolist() == expected
    assert polars.DataFrame(results.runs)["p99_ms"].to_list() == expected
    table = pyarrow.table(results.runs)
    assert table["p99_ms"].to_pylist() == expected
    ours = results.runs.to_arrow()["p99_ms"].chunk(0).buffers()[1]
    assert table["p99_ms"].chunk(0).buffers()[1].address == ours.address, "not a copy"
    assert str(table.schema.field("cache_hit").type) == "double", "nothing but nulls"
    assert pyarrow.interchange.from_dataframe(results.runs)["seed"].to_pylist()[:4] == [1, 2, 3, 4]


def test_the_other_tables_are_tidy(results):
    one = next(row for row in results.summary if row["policy"] == "prequal")
    assert one["against"] == "peak_ewma"
    assert {row["metric"] for row in results.summary} >= {"p99_ms", "error_rate", "amplification"}
    p99 = [r for r in results.summary if r["metric"] == "p99_ms" and r["load"] == 0.9]
    assert [r["ratio"] is None for r in p99] == [True, False]
    assert p99[1]["ratio_low"] < p99[1]["ratio"] < p99[1]["ratio_high"]
    assert len(results.timelines) == 2 * 2 * 100
    assert set(results.timelines["window_s"]) == {0.6}
    assert results.endpoints["id"][:3] == ["server-000", "server-001", "server-002"]
    assert results.endpoints["group"][:3] == ["a100", "a100", "h100"]


def test_files(results, tmp_path):
    assert results.to_json(tmp_path / "r.json") == (tmp_path / "r.json").read_text()
    again = sim.Results.from_json(tmp_path / "r.json")
    assert again == results and hash(again) == hash(results)
    assert pickle.loads(pickle.dumps(results)) == results
    results.to_parquet(tmp_path / "r.parquet")
    read = pyarrow.parquet.read_table(tmp_path / "r.parquet")
    assert read["p50_ms"].to_pylist() == results.runs["p50_ms"]
    assert read.schema.metadata[b"trimtab.scenario"].startswith(b"# A & B <c>")
    page = results.to_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", "r.parquet", "r.html"}


def test_what_cannot_be_written_is_named(results, tmp_path):
    for write in (results.to_json, results.to_parquet, results.to_html):
        with pytest.raises(trimtab.TrimtabError, match=r"cannot write .*none.*No such file"):
            write(tmp_path / "none" / "r")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "it lacks format and runs"),
        ('{"format": 2, "runs": []}', "a result of format 2, and this trimtab reads 1"),
    ],
)
def test_what_is_no_result_is_refused(content, message, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(trimtab.TrimtabError, match=rf"r\.json: .*{message}"):
        sim.Results.from_json(path)


def test_without_pyarrow_all_but_arrow_works(results, monkeypatch, tmp_path):
    fresh = sim.Results(results.to_json())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert fresh.runs["seed"] and fresh.to_html() and str(fresh)
    with pytest.raises(trimtab.TrimtabError, match=r"pip install 'trimtab\[sim\]'"):
        fresh.to_parquet(tmp_path / "r.parquet")
    with pytest.raises(trimtab.TrimtabError, match=r"pip install 'trimtab\[sim\]'"):
        pyarrow.table(fresh.runs)


def test_the_text_is_a_table_with_its_units(results):
    lines = str(results).splitlines()
    assert lines[0].split() == [
        *["policy", "load", "mean", "ms", "p50", "ms", "p90", "ms", "p99", "ms", "p99.9", "ms"],
        *["errors", "%", "attempts/req", "max/mean", "load"],
    ]
    assert lines[2].startswith("peak_ewma   0.5") and lines[5].startswith("peak_ewma   0.9")
    assert "±" in lines[2]
    assert "4 seeds" in str(results) and "lower or higher than that of peak_ewma" in str(results)
    assert "<table>" in results._repr_html_()


def test_one_seed_has_no_intervals():
    one = sim.Results(sim_sample.as_text(policies=2, loads=(None,), servers=2, seeds=1))
    assert "±" not in str(one)
    assert "One seed" in str(one)
    assert one.loads == [None]


def test_the_json_is_kept_as_it_is():
    content = json.dumps(json.loads(sim_sample.as_text(policies=1, servers=2)), indent=1)
    assert sim.Results(content).to_json() == content
