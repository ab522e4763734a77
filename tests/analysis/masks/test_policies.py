import math
import random

import numpy as np
import pytest
import torch

from mixlens import Alternate, CutMix, FMix, MixUp
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import NAMES, OwnAugmentation, parse_policy
from mixlens.analysis.spec import split_list


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


X, Y = torch.rand(6, 3, 8, 8, generator=generator()), torch.arange(6)


# The canonical form


@pytest.mark.parametrize(
    ("texts", "canonical"),
    [
        (["fmix", " fmix ", "fmix()", "fmix(alpha=1.0)", "fmix(alpha=1)", "fmix(alpha=1.0, decay_power=3.0)"], "fmix"),
        (["fmix-official", "fmix-official(alpha=1)", "fmix(variant='official')"], "fmix-official"),
        (["fmix(alpha=0.2,p=0.5)", "fmix(p=0.5, alpha=0.2)", "fmix( p = .5, alpha=2e-1,)"], "fmix(alpha=0.2,p=0.5)"),
        (["baseline", "baseline()"], "baseline"),
        (["fmix+mixup(alpha=1.0)"], "fmix+mixup"),
        (["cutmix(target_alpha=None)"], "cutmix"),
        (["mixup(mode='batch')"], "mixup(mode='batch')"),
        (["cutmix(lam='realised')"], "cutmix(lam='realised')"),  # a default, but not that of a study
        (["cutmix(rounding='down',mode='elem')"], "cutmix(mode='elem',rounding='down')"),
        (["mine.mixes:make"], "mine.mixes:make"),
        (["mine.mixes:make(b='x',a=1)"], "mine.mixes:make(a=1,b='x')"),
        (["mixup(alpha=2)", "mixup(alpha=2.0)"], "mixup(alpha=2.0)"),
    ],
)
def test_one_policy_has_one_name(texts, canonical):
    policies = [parse_policy(text) for text in texts]
    assert {policy.text for policy in policies} == {canonical}
    assert all(policy == policies[0] for policy in policies)
    assert parse_policy(canonical).text == canonical
    assert policies[0].is_baseline == (canonical == "baseline")


def test_what_is_stored():
    assert parse_policy("fmix").settings == {"use": "fmix"}
    assert parse_policy("fmix(p=0.5)").settings == {"use": "fmix", "with": {"p": 0.5}}


@pytest.mark.parametrize("text", NAMES)
@pytest.mark.parametrize("mode", ["elem", "batch"])
def test_every_name_builds_and_mixes(text, mode):
    made = parse_policy(text).build(6, mode)
    if text == "baseline":
        assert made is None
        return
    x, y = made(X, Y, generator=generator(), step=0)
    assert x.shape == X.shape
    assert torch.allclose(y.sum(1), torch.ones(6))


def test_what_is_built():
    assert parse_policy("mixup(alpha=0.2)").build(10, "elem") == MixUp(alpha=0.2, num_classes=10)
    assert parse_policy("cutmix").build(10, "batch") == CutMix(num_classes=10, mode="batch")
    assert parse_policy("cutmix(mode='elem')").build(10, "batch") == CutMix(num_classes=10)
    assert parse_policy("fmix(decay_power=2)").build(10, "elem") == FMix(decay_power=2, num_classes=10)
    assert parse_policy("fmix-official").build(10, "elem") == FMix(variant="official", num_classes=10)
    both = parse_policy("fmix+mixup(alpha=0.5)").build(10, "batch")
    assert both == Alternate(FMix(0.5, num_classes=10, mode="batch"), MixUp(0.5, num_classes=10, mode="batch"))


def test_as_the_papers_trainings():
    published = CutMix(num_classes=10, mode="batch", lam="asked", rounding="nearest")
    assert parse_policy("cutmix").build(10, "published") == published
    assert parse_policy("mixup").build(10, "published") == MixUp(num_classes=10, mode="batch")
    assert parse_policy("fmix").build(10, "published") == FMix(num_classes=10, mode="batch-mask")
    both = parse_policy("fmix+cutmix").build(10, "published")
    assert both == Alternate(FMix(num_classes=10, mode="batch-mask"), published)
    asked = parse_policy("cutmix(lam='realised',rounding='down',mode='elem')").build(10, "published")
    assert asked == CutMix(num_classes=10)


def test_words_that_mean_something_else_now_are_other_runs():
    for text in ("cutmix", "cutmix+mixup", "fmix+cutmix", "fmix(mode='batch')"):
        assert parse_policy(text).fingerprint()["revision"] == 2
    for text in ("fmix", "mixup", "fmix+mixup", "fmix(mode='elem')"):
        assert "revision" not in parse_policy(text).fingerprint()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fmx", "unknown augmentation 'fmx'. Did you mean 'fmix'"),
        ("cutmx", "Did you mean 'cutmix'.*package.module:factory"),
        ("", "unknown augmentation ''"),
        ("fmix(apha=1)", r"augmentation 'fmix\(apha=1\)': unknown argument 'apha'. Did you mean 'alpha'"),
        ("mixup(decay_power=2)", "unknown argument 'decay_power'"),
        ("fmix+mixup(decay_power=2)", "unknown argument 'decay_power'"),
        ("fmix(num_classes=3)", "unknown argument 'num_classes'"),
        ("fmix(alpha=x)", "cannot read augmentation .*name"),
        ("fmix(alpha=__import__('os'))", "cannot read augmentation"),
        ("fmix(alpha=1+1)", "cannot read augmentation"),
        ("fmix(1.0)", "with plain numbers or strings"),
        ("fmix(**{'alpha': 1})", "with plain numbers or strings"),
        ("fmix(alpha=1", "cannot read augmentation"),
        ("fmix(alpha=1) x", "cannot read augmentation"),
        (
            "fmix(alpha=1)()",
            "cannot read augmentation",
        ),
        ("fmix(alpha=1)+mixup", "cannot read augmentation"),
        (
            "fmix(alpha=1,alpha=2)",
            "cannot read augmentation",
        ),
        ("fmix(alpha=0)", r"augmentation 'fmix\(alpha=0\)': alpha must be a positive number"),
        ("fmix(variant='papr')", "unknown FMix variant 'papr'. Did you mean 'paper'"),
        ("fmix(max_soft=0.9)", "max_soft must lie"),
        ("mixup(p=2)", "p is a probability"),
        ("mixup(p='x')", r"augmentation \"mixup\(p='x'\)\""),
        ("mixup(mode='pair')", "mode must be"),
        ("baseline(alpha=1)", r"the baseline takes no arguments, got 'baseline\(alpha=1\)'"),
    ],
)
def test_bad_policies(text, told):
    with pytest.raises(InputError, match=told):
        parse_policy(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("baseline,mixup,fmix", ["baseline", "mixup", "fmix"]),
        (" a , b(x=1, y=2) ,c", ["a", "b(x=1, y=2)", "c"]),
        ("a(x=(1,2),y=[f(3,4)]),b", ["a(x=(1,2),y=[f(3,4)])", "b"]),
        ("fmix+mixup(alpha=0.2)", ["fmix+mixup(alpha=0.2)"]),
        ("a,,b,", ["a", "b"]),
        ("", []),
    ],
)
def test_split_list(text, parts):
    assert split_list(text) == parts


# A user's own


def test_a_factory_of_ones_own(here):
    (here / "policies_pkg").mkdir()
    (here / "policies_pkg" / "mod.py").write_text(
        "class Mine:\n"
        "    def __init__(self, k, other=2):\n        self.k, self.other = k, other\n"
        "    def __call__(self, x, y, *, generator=None):\n        return x * self.k, y\n"
    )
    policy = parse_policy("policies_pkg.mod:Mine(k=3)")
    made = policy.build(6, "batch")
    assert (made.mix.k, made.mix.other) == (3, 2)
    assert torch.equal(made.pairs(X, Y)[0], X * 3)
    assert policy.settings == {"use": "policies_pkg.mod:Mine", "with": {"k": 3}}


def test_a_factory_found_through_sys_path(tmp_path, here, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "policies_elsewhere.py").write_text("def make():\n    return lambda x, y: (x, y)\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    assert parse_policy("policies_elsewhere:make").build(6, "elem") is not None


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        ("def make():\n    1 / 0", "make", "its factory failed with ZeroDivisionError: division by zero"),
        ("def make():\n    return 7", "make", "its factory gave int, not a callable"),
        ("def make(k):\n    return print", "make", "missing a required argument: 'k'"),
        ("def make(k):\n    return print", "make(k=1,m=2)", "unexpected keyword argument 'm'"),
        ("def make(k):\n    return print", "mke(k=1)", "'mke'. Did you mean 'make'"),
        ("make = 7", "make", "policies_broken:make"),
    ],
)
def test_a_factory_that_cannot_be_used(here, code, text, told):
    (here / "policies_broken.py").write_text(code + "\n")
    policy = parse_policy(f"policies_broken:{text}")
    with pytest.raises(InputError, match=told) as caught:
        policy.build(6, "elem")
    assert "augmentation" in str(caught.value)


def test_a_module_that_is_not_there(here):
    with pytest.raises(InputError, match=r"augmentation 'policies_absent:make': .*No module named"):
        parse_policy("policies_absent:make").build(6, "elem")


BATCH = MixUp(num_classes=6).pairs(X, Y)


@pytest.mark.parametrize(
    "made",
    [(X, Y), (X, torch.full((6, 6), 1 / 6)), BATCH, BATCH._replace(y=torch.eye(6), y_partner=torch.eye(6))],
    ids=["classes", "soft labels", "both classes", "both soft labels"],
)
def test_what_ones_own_may_return(made):
    returned = OwnAugmentation("mine", lambda x, y, *, generator: made, False, 6).pairs(X, Y)
    assert type(returned) is type(made)
    assert all(one is other for one, other in zip(returned, made, strict=True))


def test_classes_of_any_integers_are_what_losses_take():
    narrow = Y.to(torch.int32)
    for made in ((X, narrow), BATCH._replace(y=narrow, y_partner=narrow)):
        returned = OwnAugmentation("mine", lambda x, y, *, generator, made=made: made, False, 6).pairs(X, Y)
        assert torch.equal(returned[1], Y)
        assert returned[1].dtype == torch.int64


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, r"must return \(images, labels\) or a MixedBatch, got NoneType"),
        ((X,), "or a MixedBatch, got tuple"),
        ((X[:, :, 1:], Y), "it must keep shape and type"),
        (BATCH._replace(x=X.double()), "it must keep shape and type"),
        ((X, Y[1:]), r"torch.int64 \(5,\) as labels of 6 images"),
        ((X, torch.ones(6, 5)), r"torch.float32 \(6, 5\) as labels of 6 images; expected floats \(6, 6\)"),
        (BATCH._replace(y_partner=Y[1:]), r"torch.int64 \(5,\) as labels"),
        (BATCH._replace(y_partner=None), "NoneType as labels"),
        (BATCH._replace(lam=torch.tensor(0.5)), r"a MixedBatch's lam must be \(6,\)"),
        (BATCH._replace(lam=0.5), r"a MixedBatch's lam must be \(6,\)"),
        (BATCH._replace(lam=torch.full((6,), 7.0)), r"one weight in \[0, 1\]"),
        (BATCH._replace(lam=torch.full((6,), math.nan)), r"one weight in \[0, 1\]"),
        ((X, Y + 6), r"labels outside 0\.\.5"),
        (BATCH._replace(y_partner=-Y - 1), r"labels outside 0\.\.5"),
        ((X, torch.ones(6, 6)), "at least 0 and sum to 1"),
        ((X, torch.eye(6) * math.nan), "at least 0 and sum to 1"),
        ((X, torch.eye(6) - 0.1), "at least 0 and sum to 1"),
        ((X, torch.eye(6) * 2), "at least 0 and sum to 1"),
        ((X, Y > 2), r"torch.bool \(6,\) as labels of 6 images"),
        ((X, torch.eye(6).bool()), r"torch.bool \(6, 6\) as labels of 6 images"),
        ((X, Y + 1), r"labels outside 0\.\.5"),
    ],
)
def test_what_it_may_not(made, words):
    with pytest.raises(InputError, match=f"augmentation 'mine'.*{words}"):
        OwnAugmentation("mine", lambda x, y, *, generator: made, False, 6).pairs(X, Y)


def labels_in_place(x, y, *, generator):
    y += 1
    return x, Y


class Ended(BaseException):
    """What no `except Exception` sees."""


def raised(error):
    raise error


def seeding(x, y, *, generator):
    torch.manual_seed(0)
    return x + torch.rand(()), y


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (lambda x, y, *, generator: (x * math.nan, y), "gave NaN or infinite images or labels"),
        (lambda x, y, *, generator: (x / (x * 0), y), "gave NaN or infinite images or labels"),
        (
            lambda x, y, *, generator: BATCH._replace(lam=BATCH.lam, x=(X - X).log()),
            "gave NaN or infinite images or labels",
        ),
        (lambda x, y, *, generator: (x + torch.rand(()), y), "two results from one seed"),
        (lambda x, y, *, generator: (x * float(np.random.rand()), y), "two results from one seed"),
        (lambda x, y, *, generator: (x[random.sample(range(6), 6)], y), "two results from one seed"),
        (seeding, r"changes a global random state \(torch, numpy or random\)"),
        (lambda x, y, *, generator: (np.random.seed(3), (x, y))[1], "changes a global random state"),
        (lambda x, y, *, generator: (random.random(), (x, y))[1], "changes a global random state"),
        (lambda x, y, *, generator: (torch.set_default_dtype(torch.float64), (x, y))[1], "changes the default type"),
        (lambda x, y, *, generator: raised(Ended()), "failed with Ended"),
        (labels_in_place, "changes the labels that it is given"),
    ],
)
def test_a_trial_tells_what_no_result_can_rest_on(mix, words):
    own = OwnAugmentation("mine", mix, False, 6)
    with pytest.raises(InputError, match=f"augmentation 'mine' .*{words}"):
        own.try_on(X, Y.clone())


def test_a_trial_draws_nothing_and_lets_what_is_seeded_pass():
    own = OwnAugmentation("mine", lambda x, y, *, generator: (x * torch.rand((), generator=generator), y), False, 6)
    before = torch.get_rng_state()
    own.try_on(X, Y)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_later_nan_is_remembered():
    own = OwnAugmentation("mine", lambda x, y, *, generator: (1 / x, y), False, 6)
    assert not own.gave_nan
    for images, spoilt in ((X + 1, False), (X * 0, True), (X + 1, True)):
        own.pairs(images, Y)
        assert own.gave_nan is spoilt


def test_the_mix_itself_is_named_where_its_factory_is_expected(here):
    (here / "policies_mix.py").write_text("def mix(x, y, *, generator=None):\n    return x, y\n")
    with pytest.raises(InputError, match=r"names what mixes a batch; .* def make\(\): return mix, and name that"):
        parse_policy("policies_mix:mix").build(6, "elem")


def test_an_exception_shows_ones_own_line(here):
    (here / "policies_raising.py").write_text(
        "import torch\n\ndef make():\n    return mix\n\ndef mix(x, y, generator):\n    return torch.cat([x, y])\n"
    )
    own = parse_policy("policies_raising:make").build(6, "elem")
    with pytest.raises(InputError, match=r"\(policies_raising\.py, line 7: return torch\.cat\(\[x, y\]\)\)"):
        own.try_on(X, Y)


# Alternate

PAIR = Alternate(FMix(num_classes=6), MixUp(num_classes=6))


def same(got, expected):
    return all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("step", [0, 1, 2, 3, 10, 11])
def test_alternates_by_the_step_it_is_given(step):
    used = PAIR.second if step % 2 else PAIR.first
    assert same(PAIR(X, Y, generator=generator(), step=step), used(X, Y, generator=generator()))
    assert same(PAIR.pairs(X, Y, generator=generator(), step=step), used.pairs(X, Y, generator=generator()))


def is_mixup(batch):
    return bool(((batch.mask > 0) & (batch.mask < 1)).any())


def test_without_a_step_a_fair_coin_decides():
    g = generator()
    second = sum(is_mixup(PAIR.pairs(X, Y, generator=g)) for _ in range(400))
    assert abs(second - 200) < 4.5 * 10
    before = torch.get_rng_state()
    first, again = PAIR.pairs(X, Y, generator=generator(1)), PAIR.pairs(X, Y, generator=generator(1))
    assert same(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert same(PAIR.pairs(X, Y), first)


def test_alternate_hands_on_the_draws():
    mask, index = torch.ones(6, 1, 8, 8), torch.arange(6).roll(1)
    assert torch.equal(PAIR.pairs(X, Y, step=0, mask=mask, index=index).x, X)


def test_alternate_collates():
    torch.manual_seed(0)
    images, labels = PAIR.collate([(X[i], i) for i in range(6)])
    assert images.shape == X.shape
    assert labels.shape == (6, 6)
