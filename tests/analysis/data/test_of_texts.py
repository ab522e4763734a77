import numpy as np
import pytest
import torch

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.of_texts import Reading, Written, of_texts
from mixlens.analysis.errors import InputError

LABELS = torch.tensor([0, 1])
MINE = """
import numpy as np
import torch

WRITTEN = dict(
    train_texts=["A fine film.", "A dull film!", "Fine, fine", "dull..."],
    train_labels=[1, 0, 1, 0],
    test_texts=["fine new one", "dull one"],
    test_labels=[1, 0],
    classes=["bad", "good"],
)
NUMBERS = dict(
    train_texts=[[1, 2], [3], np.array([2, 2])],
    train_labels=[1, 0, 1],
    test_texts=[[4, 1, 1], [3, 3]],
    test_labels=[1, 0],
    classes=["bad", "good"],
    words=4,
)


def written(**changes):
    return WRITTEN | changes


def numbers(**changes):
    return NUMBERS | changes


def one(value, of="written", key="train_texts", place=1):
    known = dict(NUMBERS if of == "numbers" else WRITTEN)
    known[key] = list(known[key])
    known[key][place] = VALUES[value]
    return known


VALUES = {
    "nan": float("nan"), "none": None, "empty": "", "marks": "?!", "list": ["a", "b"], "bytes": b"film", "no": [],
    "half": [1.5, 2.0], "deep": [[1], [2]], "zero": [1, 0], "large": [1, 9], "huge": [2**40], "text": "film",
    "ragged": [[1], [2, 3]], "truth": [True, False], "number": 3,
}  # fmt: skip


def without(keys):
    return {key: value for key, value in WRITTEN.items() if key not in keys}


def vectors():
    return NUMBERS | {"vectors": np.eye(4)}


def tensors():
    texts = {key: [torch.tensor(text) for text in NUMBERS[key]] for key in ("train_texts", "test_texts")}
    return NUMBERS | texts


def ragged():
    return NUMBERS | {"vectors": [[1.0], [2.0, 3.0]]}


def several():
    labels = {"train_labels": [[1, 0], [0, 1], [1, 1], [0, 0]], "test_labels": [[1, 0], [0, 1]]}
    return WRITTEN | labels | {"classes": {"good": ["no", "yes"], "short": ["no", "yes"]}}


def both():
    return WRITTEN | {"mean": [0.5]}
"""


def load(mine, call):
    return load_dataset(f"{mine}:{call}")


def test_written_texts_are_tokenised_and_counted(mine):
    data = load(mine, "written()")
    assert data.vocabulary.words == ("<unk>", "fine", "a", "dull", "film")
    assert data.train.images[:].tolist() == [[3, 2, 5], [3, 4, 5], [2, 2, 0], [4, 0, 0]]
    assert data.test.images[:].tolist() == [[2, 1, 1], [4, 1, 0]]
    assert (data.classes, data.mean, data.modality.NAME) == (("bad", "good"), (), "text")
    assert load(mine, "written(length=2,words=3)").train.images[:].tolist() == [[3, 2], [3, 1], [2, 2], [1, 0]]


def test_vectors_of_written_texts_are_read(mine, tmp_path):
    (tmp_path / "v.vec").write_text("film 1 2\n", encoding="utf-8")
    data = load(mine, f"written(vectors='{tmp_path / 'v.vec'}')")
    assert data.vocabulary.vectors[4].tolist() == [1, 2]


def test_numbers_are_taken_as_they_are(mine):
    data = load(mine, "numbers()")
    assert data.train.images[:].tolist() == [[1, 2], [3, 0], [2, 2]]
    assert len(data.vocabulary.words) == 4
    assert load(mine, "vectors()").vocabulary.vectors.shape == (4, 4)


def test_several_heads(mine):
    assert load(mine, "several()").sizes == (2, 2)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("one(value='nan')", r"train_texts\[1\] is float, nan; expected a string, as the first"),
        ("one(value='none',key='test_texts',place=0)", r"test_texts\[0\] is NoneType"),
        ("one(value='bytes')", r"train_texts\[1\] is bytes"),
        ("one(value='list')", r"train_texts\[1\] is list"),
        ("one(value='empty')", r"train_texts\[1\] has no words: ''; leave it out, with its label"),
        ("one(value='marks',key='test_texts')", r"test_texts\[1\] has no words: '\?!'"),
        ("one(value='no',of='numbers')", r"train_texts\[1\] has no words"),
        ("one(value='half',of='numbers')", r"train_texts\[1\] is list, \[1.5, 2.0\]; expected .* whole numbers"),
        ("one(value='deep',of='numbers')", r"train_texts\[1\] is list"),
        ("one(value='ragged',of='numbers')", r"train_texts\[1\] is list"),
        ("one(value='truth',of='numbers')", r"train_texts\[1\] is list"),
        ("one(value='number',of='numbers')", r"train_texts\[1\] is int"),
        ("one(value='number',of='numbers',place=0)", r"train_texts\[0\] is int, 3; expected a string, or a list"),
        ("one(value='text',of='numbers')", r"train_texts\[1\] is str, 'film'"),
        ("one(value='zero',of='numbers')", "word number 0; expected 1 to 4: 0 is padding"),
        ("one(value='large',of='numbers',key='test_texts')", "word number 9; expected 1 to 4"),
        ("one(value='huge',of='numbers',key='test_texts')", "word number 1099511627776; expected 1 to 4"),
        ("numbers(words=2.5)", "words=2.5, length=None; of texts as numbers expected how many words there are"),
        ("numbers(words=8589934592)", "words=8,589,934,592, of which 10,000,000 at most can be held"),
        ("numbers(length=3)", "words=4, length=3"),
        ("numbers(vectors='some.vec')", "vectors='some.vec': which word a number stands for is not known"),
        ("written(words=1)", "words=1, length=0; expected 2 or more"),
        ("written(vectors=3)", "vectors=3; expected the path"),
        ("written(train_texts='A film')", "train_texts is str; expected a list of texts"),
        ("written(train_texts=7)", "train_texts is int; expected a list of texts"),
        ("written(train_labels=[0,1])", r"labels of shape \(2,\) for 4 texts; expected \(4,\)"),
        ("without(keys=['test_texts'])", "lacks test_texts"),
        ("without(keys=['classes','test_labels'])", "lacks test_labels, classes"),
        ("without(keys=['train_texts','test_texts'])", "lacks train_images"),
        ("both()", "unknown key .*'mean'"),
    ],
)
def test_what_is_wrong_is_one_message(mine, call, told):
    with pytest.raises(InputError, match=told):
        load(mine, call)


def test_a_text_in_both_splits_is_refused_as_an_image_is(mine):
    with pytest.raises(InputError, match="1 of 4 training texts stand in the test split too, the first at index 3"):
        load(mine, "written(test_texts=['fine new one','DULL!!'])")


# what sources share


def test_a_text_without_words_is_refused_or_unknown():
    train, test = Written(["a a", "..."], LABELS), Written(["b", "a"], LABELS)
    with pytest.raises(InputError, match="train split: text 1 is empty; leave them out"):
        of_texts("some", (train, test), ("x", "y"), Reading())
    data = of_texts("some", (train, test), ("x", "y"), Reading(), wordless=True)
    assert data.train.images[:].tolist() == [[2, 2], [1, 0]]


def test_texts_are_read_once():
    data = of_texts(
        "some", [Written(iter(texts), LABELS) for texts in (["a a", "b b"], ["a", "b"])], ("x", "y"), Reading()
    )
    assert np.array_equal(data.test.images[:], [[2], [3]])


def test_numbers_of_words_may_be_tensors(mine):
    assert load(mine, "tensors()").train.images[:].tolist() == load(mine, "numbers()").train.images[:].tolist()


def test_what_is_of_strings_or_no_array_is_refused_of_numbers(mine):
    with pytest.raises(InputError, match="tokenizer= reads strings, and these texts are numbers: leave it out"):
        load(mine, "numbers(tokenizer='some')")
    with pytest.raises(InputError, match=r"vectors cannot be read as an array of numbers: .*Expected \(4, channels\)"):
        load(mine, "ragged()")


def test_texts_that_differ_in_unknown_words_alone_are_said_to_be_compared_without_them(mine):
    train = ["play zappa", "play dull", "play dull", "fine fine"]
    with pytest.raises(
        InputError, match=r"1 of 4 training texts stand in the test split too, the first at index 0: .*"
    ) as caught:
        load(mine, f"written(train_texts={train},test_texts=['play mozart','dull one'])")
    assert "Texts are compared as a network sees them, all unknown words alike" in str(caught.value)
