"""Rows kept in the repository come back as they were; what repeats itself is written once."""

import json

import pandas as pd
from keep_results import LEFT_OUT, main, read, write

from mixlens.analysis.store.results import table


def test_rows_come_back_as_they_were(record, with_information, tmp_path):
    rows = table(with_information(record).rows())
    write(rows, tmp_path / "rows")
    kept = rows.drop(columns=LEFT_OUT).replace("", None).dropna(axis="columns", how="all")
    again = read(tmp_path / "rows")
    assert set(again) == set(kept)
    pd.testing.assert_frame_equal(again[kept.columns], kept, check_dtype=False, check_exact=True)


def test_what_repeats_itself_is_written_once(record, tmp_path):
    write(table(record.rows()), tmp_path / "rows")
    text = (tmp_path / "rows" / "vae.csv").read_text(encoding="utf-8")
    assert text.startswith("augmentation,seed,quantity,value,pair\n")
    fixed = json.loads((tmp_path / "rows" / "sections.json").read_text(encoding="utf-8"))["vae"]
    assert (fixed["dataset"], fixed["bound"], fixed["n"], fixed["unit"]) == ("cifar10", "upper", 1000, "nats")


def test_rows_of_before_are_gone(record, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "old.csv").touch()
    write(table(record.rows()), tmp_path / "rows")
    assert sorted(path.name for path in (tmp_path / "rows").iterdir()) == ["quantities.csv", "sections.json", "vae.csv"]


def test_the_script_keeps_the_rows_and_one_report(record, tmp_path):
    main([str(record.folder), "--out", str(tmp_path / "kept")])
    assert (tmp_path / "kept" / "report.pdf").read_bytes().startswith(b"%PDF")
    assert len(read(tmp_path / "kept" / "rows")) == len(record.rows())
