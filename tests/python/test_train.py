"""Training from Python: whatever the format of the log, the model is the same."""

import gzip
import json
import random

import pyarrow
import pyarrow.json
import pyarrow.parquet
import pytest

import trimtab
from decision_rows import CLASSES, row, rows, write
from trimtab._trimtab import Trainer
from trimtab.train import Training, _logs, _parquet, evaluate, inspect, to_parquet, train


@pytest.fixture
def log(tmp_path):
    return write(tmp_path / "a.jsonl", rows())


def cells(training):
    return {(c["class"], c["archetype"]): c for c in training.report["cells"]}


def test_the_costs_and_the_advice_come_out(log, tmp_path):
    training = train(log, tmp_path / "m.qtable", note="a test")
    found = cells(training)
    for name, by_kind in CLASSES.items():
        for kind, truth in by_kind.items():
            cell = found[name, f"archetype={kind}"]
            assert cell["service_ms"] == pytest.approx(truth, rel=0.02)
            # Here each request ahead costs one of the same class; the mean work is 25 ms.
            assert cell["slope"] == pytest.approx(min(truth / 25.0, 1.0), rel=0.1)
    assert training.report["gain"]["ratio"] == pytest.approx(2.5, rel=0.05)
    assert training.advised
    assert training.report["unclassified"] == 1
    assert (tmp_path / "m.qtable").read_bytes() == training.model
    described = inspect(tmp_path / "m.qtable").content
    assert described["note"] == "a test"
    assert described["window"] == [1.7e9, 1.7e9 + 1999]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_every_format_gives_the_same_model(log, tmp_path):
    expected = train(log)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    zst = tmp_path / "a.jsonl.zst"
    with pyarrow.CompressedOutputStream(str(zst), "zstd") as out:
        out.write(log.read_bytes())
    ours = tmp_path / "ours.parquet"
    assert to_parquet(log, ours) == 2000
    # The schema that pyarrow infers, where hashes are no plain integers.
    inferred = pyarrow.Table.from_pylist([{**r, "event": 0, "key": 0} for r in rows()])
    theirs = tmp_path / "theirs.parquet"
    pyarrow.parquet.write_table(inferred, theirs, row_group_size=300)
    for path in (packed, zst, ours, theirs):
        training = train(path)
        assert training.model == expected.model, path
        assert training.report == expected.report, path


def test_shards_in_any_order_give_the_same_model(log, tmp_path):
    made = rows()
    for name, part in (("b", made[:700]), ("a", made[1500:]), ("c", made[700:1500])):
        write(tmp_path / f"{name}.log.jsonl", part)
    to_parquet(tmp_path / "c.log.jsonl", tmp_path / "c.log.parquet")
    shards = [tmp_path / name for name in ("b.log.jsonl", "c.log.parquet", "a.log.jsonl")]
    assert train(shards).model == train(reversed(shards)).model == train(log).model


def test_a_conversion_that_fails_while_writing_names_its_output(log, tmp_path):
    out = tmp_path / "out.parquet"
    out.mkdir()  # the last step, taking the output's place, cannot work
    with pytest.raises(trimtab.LogError, match=r"out\.parquet: "):
        to_parquet(log, out)
    bad = tmp_path / "b.jsonl"
    bad.write_text("{")
    with pytest.raises(trimtab.LogError, match=r"b\.jsonl: "):
        to_parquet([log, bad], tmp_path / "fine.parquet")


def test_directories_and_patterns(log, tmp_path):
    nested = tmp_path / "logs" / "day"
    nested.mkdir(parents=True)
    write(nested / "b.jsonl", rows())
    (nested / "notes.txt").write_text("not a log")
    assert train(tmp_path / "logs").report["rows"] == 2000
    assert train(str(tmp_path / "**" / "*.jsonl")).report["rows"] == 4000
    assert train([log, tmp_path / "a.*"]).report["rows"] == 2000, "each file once"


def test_wrong_rows_are_shown_with_file_and_line(log):
    with log.open("a") as file:
        file.write("{broken\n")
        file.write(json.dumps(row(1, random.Random(0), latency_ms=-3.0)) + "\n")
    training = train(log)
    assert training.report["wrong"] == 2
    assert training.wrong_rows[0].startswith(f"{log}:2001: malformed")
    assert training.wrong_rows[1] == f"{log}:2002: latency_ms = -3 must lie in [0, 1 day]"
    assert f"{log}:2002" in training.to_text()


def test_wrong_rows_of_parquet_are_shown_with_their_number(tmp_path):
    made = rows()
    made[41]["latency_ms"] = -1.0
    made[42]["status"] = "odd"
    made[43]["chosen"] = None
    path = tmp_path / "a.parquet"
    to_parquet(write(tmp_path / "a.jsonl", made), path)
    training = train(path)
    assert training.report["wrong"] == 3
    assert training.wrong_rows[0] == f"{path}: row 42: latency_ms = -1 must lie in [0, 1 day]"
    assert training.wrong_rows[1].startswith(f'{path}: row 43: status "odd" is not one of')
    assert training.wrong_rows[2] == f"{path}: row 44: chosen is null"


def test_missing_columns_are_named(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"time": 1, "status": "ok"}] * 3)
    with pytest.raises(trimtab.LogError, match=r"a\.jsonl.*missing: chosen, class, latency_ms$"):
        train(path)
    table = pyarrow.table({"class": ["a"], "status": ["ok"]})
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(trimtab.LogError, match=r"b\.parquet.*missing: chosen, latency_ms$"):
        train(tmp_path / "b.parquet")


def test_what_is_no_log_is_refused(tmp_path):
    with pytest.raises(trimtab.LogError, match="no such log"):
        train(tmp_path / "nothing")
    with pytest.raises(trimtab.LogError, match="no such log"):
        train(tmp_path / "*.parquet")
    broken = tmp_path / "a.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(trimtab.LogError, match=r"a\.parquet"):
        train(broken)
    cut = tmp_path / "a.jsonl.gz"
    cut.write_bytes(gzip.compress(b"{}\n" * 1000)[:20])
    with pytest.raises(trimtab.LogError, match=r"a\.jsonl\.gz"):
        train(cut)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(trimtab.LogError, match="no usable rows"):
        train(empty)


def test_settings_are_checked(log, tmp_path):
    with pytest.raises(trimtab.ConfigError, match="min_rows"):
        train(log, min_rows=0)
    with pytest.raises(trimtab.ConfigError, match="tolerance"):
        train(log, tolerance=float("nan"))
    with pytest.raises(trimtab.ConfigError, match="labels"):
        train(log, archetype_labels=["gpu"])
    with pytest.raises(trimtab.LogError, match="no cell has 5000 usable rows"):
        train(log, min_rows=5000)
    with pytest.raises(trimtab.ModelError, match="no such directory"):
        train(log, tmp_path / "nowhere" / "m.qtable")


def test_a_failed_write_leaves_the_old_model(log, tmp_path):
    target = tmp_path / "m.qtable"
    target.mkdir()
    with pytest.raises(trimtab.ModelError, match="cannot write"):
        train(log, target)
    assert list(target.iterdir()) == []
    assert {p.name for p in tmp_path.iterdir()} == {"a.jsonl", "m.qtable"}


def test_without_pyarrow_the_message_names_the_extra(log, tmp_path, monkeypatch):
    parquet = tmp_path / "a.parquet"
    to_parquet(log, parquet)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(trimtab.LogError, match=r"pip install 'trimtab\[train\]'"):
        train(parquet)
    assert isinstance(train(log), Training), "JSON lines need nothing"


def test_conversion_refuses_what_is_no_json(tmp_path):
    bad = tmp_path / "a.jsonl"
    bad.write_text("{no json\n")
    with pytest.raises(trimtab.LogError, match=r"a\.jsonl"):
        to_parquet(bad, tmp_path / "a.parquet")
    assert {p.name for p in tmp_path.iterdir()} == {"a.jsonl"}


def test_evaluation_agrees_between_formats_and_finds_the_better_policy(log, tmp_path):
    training = train(log)
    judged = evaluate(training.model, log)
    verdict = judged.verdict
    assert verdict["used"] == 2000
    # Uniform over four endpoints; the table takes the quick half of them.
    assert verdict["snips_mean_ms"] < 0.7 * verdict["logged_mean_ms"]
    low, high = verdict["interval_ms"]
    assert low < verdict["snips_mean_ms"] < high
    assert verdict["overlap"] == 1.0
    assert verdict["coverage"] > 0.99
    assert 300 < verdict["effective_sample_size"] < 1000
    assert "do not prove" in judged.to_text()
    parquet = tmp_path / "a.parquet"
    to_parquet(log, parquet)
    assert evaluate(training.model, parquet).verdict == verdict


def test_evaluation_refuses_rows_without_propensity_with_their_count(tmp_path):
    made = rows()
    model = train(write(tmp_path / "a.jsonl", made)).model
    for r in made[:1500]:
        r["propensity"] = None
    verdict = evaluate(model, write(tmp_path / "b.jsonl", made)).verdict
    assert (verdict["without_propensity"], verdict["used"]) == (1500, 500)
    for r in made:
        r["propensity"] = None
    with pytest.raises(trimtab.LogError, match="2000 have no propensity"):
        evaluate(model, write(tmp_path / "c.jsonl", made))


def test_evaluation_flags_a_lack_of_overlap(tmp_path):
    made = rows()
    model = train(write(tmp_path / "a.jsonl", made)).model
    for r in made:
        for c in r["candidates"]:
            c["propensity"] = 1.0 if c["endpoint"] == r["chosen"] else 0.0
        r["propensity"] = 1.0
    verdict = evaluate(model, write(tmp_path / "b.jsonl", made)).verdict
    assert verdict["overlap"] < 0.6
    assert any(w.startswith("Overlap") for w in verdict["warnings"])


def test_a_log_that_lists_too_few_candidates_is_refused(tmp_path):
    made = rows()
    model = train(write(tmp_path / "a.jsonl", made)).model
    for r in made:
        r["eligible"] = 5
    with pytest.raises(trimtab.LogError, match="2000 do not list every candidate"):
        evaluate(model, write(tmp_path / "b.jsonl", made))


def test_progress_is_told_of_every_byte(log, tmp_path):
    parquet = tmp_path / "a.parquet"
    to_parquet(log, parquet)
    done = []
    assert b"".join(_logs.chunks(log, done.append)) == log.read_bytes()
    assert sum(done) == log.stat().st_size
    done.clear()
    trainer = Trainer()
    _parquet.fold(trainer, parquet, done.append)
    assert trainer.rows == 2000
    assert sum(done) == parquet.stat().st_size


def test_an_empty_directory_is_no_log(tmp_path):
    with pytest.raises(trimtab.LogError, match="no logs in this directory"):
        train(tmp_path)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("latency_ms", pyarrow.array(["quick"] * 50)),
        ("class", pyarrow.array([[1]] * 50)),
        ("in_flight", pyarrow.array([2**63] * 50, pyarrow.uint64())),
        ("candidates", pyarrow.array(["none"] * 50)),
        ("candidates", pyarrow.array([[{"zone": "a"}]] * 50)),
    ],
)
def test_columns_of_other_types_are_a_clear_error(column, values, tmp_path):
    made = rows(50)
    model = train(write(tmp_path / "a.jsonl", made), min_rows=2).model
    to_parquet(tmp_path / "a.jsonl", tmp_path / "a.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    table = table.set_column(table.schema.get_field_index(column), column, values)
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
    read = train if column != "candidates" else lambda log: evaluate(model, log)
    with pytest.raises(trimtab.LogError, match=r"b\.parquet"):
        read(tmp_path / "b.parquet")


def test_dictionaries_large_lists_and_slices_are_read_alike(log, tmp_path):
    expected = train(log)
    to_parquet(log, tmp_path / "a.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    for name in ("class", "archetype", "censored"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).dictionary_encode())
    listed = table.column("candidates")
    large = listed.cast(pyarrow.large_list(listed.type.value_type))
    table = table.set_column(table.schema.get_field_index("candidates"), "candidates", large)
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet", row_group_size=77)
    assert train(tmp_path / "b.parquet").model == expected.model
    verdict = evaluate(expected.model, log).verdict
    assert evaluate(expected.model, tmp_path / "b.parquet").verdict == verdict


def test_trainers_merge_in_either_order(log):
    lines = log.read_bytes().splitlines(keepends=True)

    def folded(part):
        trainer = Trainer()
        trainer.open("part")
        trainer.push(b"".join(part))
        trainer.close()
        return trainer

    one, two = folded(lines[:900]), folded(lines[900:])
    one.merge(folded(lines[900:]))
    two.merge(folded(lines[:900]))
    assert one.fit() == two.fit() == folded(lines).fit()


def test_evaluation_names_the_columns_that_a_log_lacks(log, tmp_path):
    model = train(log).model
    bare = [{k: v for k, v in r.items() if k not in ("candidates", "propensity")} for r in rows(9)]
    path = write(tmp_path / "b.jsonl", bare)
    with pytest.raises(trimtab.LogError, match=r"b\.jsonl.*missing: candidates, propensity$"):
        evaluate(model, path)
    table = pyarrow.table({"class": ["a"], "chosen": ["b"], "status": ["ok"], "latency_ms": [1.0]})
    pyarrow.parquet.write_table(table, tmp_path / "b.parquet")
    with pytest.raises(trimtab.LogError, match=r"b\.parquet.*missing: candidates, propensity$"):
        evaluate(model, tmp_path / "b.parquet")


def test_a_file_name_that_is_no_text_is_no_obstacle(log, tmp_path):
    odd = tmp_path / "a\udcff.jsonl"
    try:
        odd.write_bytes(log.read_bytes() + b"{broken\n")
    except (OSError, UnicodeError):
        pytest.skip("this file system takes text only")
    assert "a\ufffd.jsonl:2001" in train(odd).wrong_rows[0]


def test_the_model_does_not_replace_a_log_or_a_device(log):
    content = log.read_bytes()
    with pytest.raises(trimtab.ModelError, match="one of the logs"):
        train(log, log)
    assert log.read_bytes() == content
    with pytest.raises(trimtab.ModelError, match="not a regular file"):
        train(log, "/dev/null")
    with pytest.raises(trimtab.LogError, match="/dev/zero: not a regular file"):
        train("/dev/zero")
