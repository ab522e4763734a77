from itertools import chain, pairwise

import pytest
import torch
from torch import nn

from mixlens.analysis.data.dataset import Dataset, Split, Vocabulary
from mixlens.analysis.data.modalities import text
from mixlens.analysis.data.modalities.text import POOL, Texts
from mixlens.analysis.data.modality import Changes, modality_of
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import build

ROWS = [[5, 2, 9], [7], [1, 1, 4, 4, 8], [3, 6]]
SOME = Texts.of(ROWS)


def many(count=500, longest=40, seed=0):
    """Each with its own number first, that it can be told."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return Texts.of([[number + 1] + [1] * (length - 1) for number, length in enumerate(lengths)])


def batches_of(images, size=8, *, shuffle=True, seed=0):
    split = Split(images, torch.arange(len(images)))
    return text.batches(split, (), (), size, generator=torch.Generator().manual_seed(seed), shuffle=shuffle)


# as an array


def test_they_are_padded_with_zeros_to_the_longest_asked_for():
    assert SOME[:].tolist() == [[5, 2, 9, 0, 0], [7, 0, 0, 0, 0], [1, 1, 4, 4, 8], [3, 6, 0, 0, 0]]
    assert SOME[[0, 3]].tolist() == [[5, 2, 9], [3, 6, 0]]
    assert SOME[1:2].tolist() == [[7]]
    assert SOME[torch.tensor([False, False, False, True])].tolist() == [[3, 6]]
    assert SOME[2].tolist() == [1, 1, 4, 4, 8]
    assert SOME[:].dtype == torch.int64
    assert (len(SOME), tuple(SOME.shape), SOME.lengths.tolist()) == (4, (4, 5), [3, 1, 5, 2])
    assert SOME.padded(torch.tensor([1, 3]), 4).tolist() == [[7, 0, 0, 0], [3, 6, 0, 0]]


def test_some_of_them_are_texts_still():
    for which in (torch.tensor([3, 0, 0]), torch.tensor([2]), torch.tensor([True, False, True, False])):
        chosen = SOME.at(which)
        assert isinstance(chosen, Texts)
        rows = torch.arange(4)[which].tolist()
        assert [chosen[k].tolist() for k in range(len(chosen))] == [ROWS[row] for row in rows]
        assert chosen.ids.dtype == SOME.ids.dtype
    assert len(SOME.at(torch.tensor([], dtype=torch.int64))) == 0


def test_some_in_memory_are_texts_still():
    few = Split(SOME, torch.arange(4)).in_memory(torch.tensor([3, 1]))
    assert isinstance(few.images, Texts)
    assert (few.images[:].tolist(), few.labels.tolist()) == ([[3, 6], [7, 0]], [3, 1])


def test_each_text_has_a_hash_of_its_words_alone():
    again = Texts.of([ROWS[2], ROWS[0], [5, 2], ROWS[0]])
    ours, theirs = ([bytes(row) for row in one.hashes()] for one in (SOME, again))
    assert len(set(ours)) == 4
    assert ours[2] == theirs[0]
    assert ours[0] == theirs[1] == theirs[3]
    assert theirs[2] not in ours
    # [12] is one word, and no [1, 2].
    assert len({bytes(row) for row in Texts.of([[12], [1, 2], [1, 2, 0]]).hashes()}) == 3


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[1], []], "text 1 is empty; leave them out"),
        ([[], [1], []], "text 0 is empty, and 1 more are; leave them out"),
        ([[1, 2], [3, 0]], "text 1 has number 0; words are numbered from 1"),
        ([[4], [1, -3], [2]], "text 1 has number -3"),
        ([[1]], ""),
    ],
)
def test_what_is_wrong_with_texts(rows, told):
    found = text.problem(Texts.of(rows))
    assert told in found
    assert bool(told) == bool(found)


# batches


@pytest.mark.parametrize(("count", "size"), [(500, 8), (41, 8), (8, 8), (9, 8), (33, 16)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_text_comes_once_an_epoch(count, size, shuffle):
    images = many(count)
    batches = batches_of(images, size, shuffle=shuffle)
    for _ in range(2):
        seen = []
        for x, y in batches:
            assert len(x) == len(y) > 1
            assert (x[:, 0] - 1).tolist() == y.tolist()
            assert x.shape[1] == images.lengths[y].max(), "no more padding than its longest takes"
            assert torch.equal((x > 0).sum(1), images.lengths[y])
            seen += y.tolist()
        assert sorted(seen) == list(range(count))
    assert len(list(batches)) == len(batches)


def test_texts_of_a_batch_are_of_like_length():
    """With a pool or less the sorted texts are cut in turn, so that the padding is what they differ by alone."""
    images = many(100 * 8)
    assert len(images) <= POOL * 8
    spans = sorted((int(images.lengths[y].min()), int(images.lengths[y].max())) for _, y in batches_of(images))
    assert all(low[1] <= high[0] for low, high in pairwise(spans))
    padding = sum(int((x == 0).sum()) for x, _ in batches_of(images)) / int(images.lengths.sum())
    assert padding < 0.02


def test_pools_keep_batches_from_being_the_same_every_epoch():
    images = many(2 * POOL * 4 + 7)
    batches = batches_of(images, 4)
    first, second = ({frozenset(y.tolist()) for _, y in batches} for _ in range(2))
    assert len(first & second) < len(first) / 10


def test_batches_come_in_another_order_than_by_length():
    longest = [x.shape[1] for x, _ in batches_of(many())]
    assert longest != sorted(longest)
    again = [x.shape[1] for x, _ in batches_of(many(), shuffle=False)]
    assert again == sorted(again), "an evaluation goes by length"


def test_the_order_is_the_generators_and_goes_on_from_its_state():
    images = many()
    generator = torch.Generator().manual_seed(3)
    batches = text.batches(Split(images, torch.arange(len(images))), (), (), 8, generator=generator, shuffle=True)
    list(batches)
    state = generator.get_state()
    second = [y.tolist() for _, y in batches]
    generator.set_state(state)
    assert [y.tolist() for _, y in batches] == second
    assert [y.tolist() for _, y in batches_of(images, seed=4)] != [y.tolist() for _, y in batches_of(images, seed=3)]


def test_an_evaluation_has_fewer_texts_a_batch_where_one_is_long(monkeypatch):
    monkeypatch.setattr(text, "MOST", 120)
    images = many(20, longest=40)
    longest = int(images.lengths.max())
    seen = [x.shape for x, _ in batches_of(images, 16, shuffle=False)]
    assert max(rows for rows, _ in seen) in (120 // longest, 120 // longest + 1), "a last one alone is joined"
    assert sum(rows for rows, _ in seen) == 20
    assert sorted(len(x) for x, _ in batches_of(images, 16)) == [4, 16], "a training's are as they were asked for"


def test_parts_go_from_the_longest_to_the_shortest_and_hold_less_of_long_ones():
    images = Texts.of([[1] * length for length in (1, 2000, 3, 900, 5, 6, 7, 8)])
    parts = list(text.parts(images, 4))
    assert torch.cat([rows for rows, _ in parts]).sort().values.tolist() == list(range(8))
    assert [len(x) for _, x in parts] == [1, 1, 4, 2]
    lengths = images.lengths[torch.cat([rows for rows, _ in parts])].tolist()
    assert lengths == sorted(lengths, reverse=True)
    for rows, x in parts:
        assert torch.equal(x, images[rows])


# as the modality


def test_it_is_known_by_what_a_split_holds():
    assert modality_of(SOME).NAME == "text"
    assert Split(SOME, torch.zeros(4)).modality.MANY == "texts"


def test_no_transforms_and_nothing_to_encode():
    assert text.read_changes("") == text.read_changes("none") == ""
    with pytest.raises(InputError, match=r"--transforms 'randaugment'.* there are none of texts"):
        text.read_changes("randaugment")
    ids = SOME[:]
    assert torch.equal(text.encoded(ids), ids)
    batches = text.batches(Split(SOME, torch.arange(4)), (), (), 2, changes=Changes(flip=True, crop=4))
    assert len(list(batches)) == 2, "flips and crops are of images, and their defaults no error"


def test_augmentations_are_tried_on_embeddings_of_as_many_words():
    assert text.mixable(SOME[:], (), ()).shape == (4, text.CHANNELS, 5)


def test_networks_are_cut_after_their_embedding():
    network = build("text-cnn(channels=4,width=4)", classes=2, modality="text", num_words=9)
    before, after = text.halves(network)
    torch.testing.assert_close(after(before(SOME[:])), network(SOME[:]))
    with pytest.raises(InputError, match="Linear does not say what is mixed of a text"):
        text.halves(nn.Linear(2, 2))


# in a data set


def dataset(rows=ROWS, words=9, vectors=None, classes=("a", "b")):
    known = Vocabulary(tuple(f"w{number}" for number in range(1, words + 1)), vectors)
    train, test = Split(Texts.of(rows), torch.arange(len(rows)) % 2), Split(Texts.of([[2, 2], [3]]), torch.arange(2))
    return Dataset("some", train, test, classes, (), (), vocabulary=known)


def test_the_checksum_changes_with_all_that_a_network_sees():
    vectors = torch.zeros(9, 3)
    known = [
        dataset(),
        dataset([[5, 2, 9], [7], [1, 1, 4, 4], [8, 3, 6]]),  # the same words, cut elsewhere
        dataset(words=10),
        dataset(vectors=vectors),
        dataset(vectors=vectors + 1),
        dataset(classes=("a", "c")),
    ]
    assert len({one.checksum for one in known}) == len(known)
    assert dataset(vectors=vectors.clone()).checksum == known[3].checksum


def test_subsets_folds_and_what_is_shared():
    rows = [[k + 1, 1] for k in range(8)] + [[2, 2]]
    data = dataset(rows)
    small = data.subset(4, seed=0)
    assert sorted(small.train.labels.tolist()) == [0, 0, 1, 1]
    assert all(row in rows for row in small.train.images[:].tolist())
    folds = [data.fold(index, 3, seed=0).test.images[:].tolist() for index in range(3)]
    assert sorted(chain(*folds)) == sorted(rows)
    assert data.shared().tolist() == [False] * 8 + [True]
    assert len(data.apart().train) == 8
    assert small.vocabulary is data.vocabulary


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"words": 8}, "word number 9, of a vocabulary of 8 words; number them 1 to 8"),
        ({"vectors": torch.zeros(8, 3)}, r"vectors of shape \(8, 3\) for 9 words; expected \(9, channels\)"),
        ({"vectors": torch.full((9, 3), torch.inf)}, "vectors of shape"),
        ({"rows": [[1], []]}, "train split: text 1 is empty"),
    ],
)
def test_data_sets_that_do_not_go_together(given, told):
    with pytest.raises(InputError, match=f"data set 'some'.*{told}"):
        dataset(**given)


def test_texts_have_no_mean_and_both_splits_are_of_one_kind():
    known = dataset()
    with pytest.raises(InputError, match="texts have a vocabulary, and neither mean nor std"):
        Dataset("x", known.train, known.test, ("a", "b"), (0.5,), (0.5,), vocabulary=known.vocabulary)
    with pytest.raises(InputError, match="texts have a vocabulary"):
        Dataset("x", known.train, known.test, ("a", "b"), (), ())
    images = Split(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.arange(2))
    with pytest.raises(InputError, match="a train split of texts, and a test split of images"):
        Dataset("x", known.train, images, ("a", "b"), (), (), vocabulary=known.vocabulary)
