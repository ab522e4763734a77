import pytest
import torch

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import toxic
from mixlens.analysis.errors import InputError
from mixlens.cli.main import main

HEADER = "id,comment_text,toxic,severe_toxic,obscene,threat,insult,identity_hate"
TRAIN = f'''{HEADER}
a0,"You are kind.
Thank you",0,0,0,0,0,0
a1,"You ""fool"", you fool",1,0,1,0,1,0
a2,"..!",0,0,0,1,0,0
a3,thank you,0,1,0,0,0,1
'''
TEST = '''id,comment_text
b0,fool
b1,nobody was judged by this
b2,"?"
b3,you
'''
LABELS = f'''{HEADER.replace("comment_text,", "")}
b0,1,0,0,0,1,0
b1,-1,-1,-1,-1,-1,-1
b2,0,0,0,0,0,0
b3,0,1,0,1,0,1
'''


def write(root, train=TRAIN, test=TEST, labels=LABELS):
    folder = root / toxic.FOLDER
    folder.mkdir(exist_ok=True)
    for name, text in zip(toxic.FILES, (train, test, labels), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_six_heads_and_the_comments_that_have_labels(tmp_path):
    write(tmp_path)
    data = load_dataset("toxic", tmp_path)
    assert [head.name for head in data.heads] == list(toxic.HEADS)
    assert {head.classes for head in data.heads} == {("no", "yes")}
    assert data.train.labels.tolist() == [[0] * 6, [1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 1]]
    assert data.test.labels.tolist() == [[1, 0, 0, 0, 1, 0], [0] * 6, [0, 1, 0, 1, 0, 1]]
    assert data.vocabulary.words == ("<unk>", "you", "fool", "thank")
    assert data.train.images.lengths.tolist() == [5, 4, 1, 2]
    assert data.test.images[:].tolist() == [[3], [1], [2]], "a comment without words is one unknown word"


def test_columns_are_told_by_name_and_rows_by_id(tmp_path):
    write(tmp_path)
    data = load_dataset("toxic", tmp_path)
    header, *rows = LABELS.splitlines()
    turned = [",".join([row.split(",")[0], *row.split(",")[:0:-1]]) for row in [header, *reversed(rows)]]
    write(tmp_path, labels="\n".join(turned) + "\n")
    assert load_dataset("toxic", tmp_path).checksum == data.checksum


@pytest.mark.parametrize("place", range(6))
def test_one_head_alone(tmp_path, place):
    write(tmp_path)
    both = load_dataset("toxic", tmp_path)
    alone = load_dataset(f"toxic(head='{toxic.HEADS[place]}')", tmp_path)
    assert (alone.classes, alone.heads) == (("no", "yes"), ())
    assert torch.equal(alone.test.labels, both.test.labels[:, place])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train": TRAIN.replace("1,0,1,0,1,0", "2,0,1,0,1,0")}, "train.csv gives the comment a1 the toxic '2'; expected 0 or 1"),
        ({"train": TRAIN.replace("1,0,1,0,1,0", "1,0,1,0,,0")}, "comment a1 the insult ''; expected 0 or 1"),
        ({"train": TRAIN.replace("1,0,1,0,1,0", "1,0,-1,0,1,0")}, "comment a1 the obscene '-1'; expected 0 or 1"),
        ({"labels": LABELS.replace("b0,1,0", "b0,1,-1")}, "test_labels.csv gives the comment b0 the severe_toxic '-1'; .* or −1 of every label"),
        ({"labels": LABELS.replace("b3", "c3")}, "the comment b3 of test.csv has no row in test_labels.csv"),
        ({"test": TEST.replace("b3,you\n", "")}, "the comment b3 of test_labels.csv has no row in test.csv"),
        ({"test": TEST.replace("b3", "b2")}, "test.csv has two rows of the comment b2"),
        ({"train": TRAIN.replace("threat", "menace")}, "train.csv lacks the column threat; it has id, comment_text, toxic"),
        ({"train": ""}, "train.csv cannot be read as a table"),
    ],
)  # fmt: skip
def test_files_that_are_not_as_published(tmp_path, changes, told):
    write(tmp_path, **changes)
    with pytest.raises(InputError, match=f"cannot be used: .*{told}"):
        load_dataset("toxic", tmp_path)


def test_what_is_missing_is_told_with_where_it_is_had(tmp_path, capsys):
    (write(tmp_path) / "test_labels.csv").unlink()
    for door in (load_dataset, lambda name, root: toxic.fetch(root)):
        with pytest.raises(InputError, match="missing test_labels.csv.*www.kaggle.com.*rules accepted; expected"):
            door("toxic", tmp_path)
    assert main(["data", "toxic", "--data-root", str(tmp_path)]) == 2
    assert "missing test_labels.csv" in capsys.readouterr().err
    write(tmp_path)
    toxic.fetch(tmp_path)
    assert toxic.missing(tmp_path) == ""


def test_arguments(tmp_path):
    with pytest.raises(InputError, match="head='rude'; expected toxic, severe_toxic"):
        load_dataset("toxic(head='rude')", tmp_path)
    with pytest.raises(InputError, match="length=-2"):
        load_dataset("toxic(length=-2)", tmp_path)
