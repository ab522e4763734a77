import foolbox.attacks as fa
import pytest
from foolbox.distances import l1, l2, linf

from mixlens.analysis.errors import InputError
from mixlens.robustness.attacks import SHORT, parse_attacks
from mixlens.robustness.autoattack import AutoAttack
from mixlens.robustness.config import ATTACKS


def parse(text):
    (attack,) = parse_attacks([text])
    return attack


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fgsm", fa.LinfFastGradientAttack),
        ("pgd", fa.LinfProjectedGradientDescentAttack),
        ("bim", fa.LinfBasicIterativeAttack),
        ("uniform-noise", fa.LinfAdditiveUniformNoiseAttack),
        ("deepfool", fa.LinfDeepFoolAttack),
    ],
)
def test_short_names_are_foolboxs_attacks_as_it_makes_them(name, kind):
    attack = parse(name)
    assert type(attack.foolbox) is kind
    assert vars(attack.foolbox) == vars(kind())
    assert attack.name == name
    assert attack.norm is linf


def test_the_published_attacks_are_the_short_names_in_order():
    assert tuple(attack.name for attack in parse_attacks(ATTACKS)) == ATTACKS
    assert set(ATTACKS) == set(SHORT)


def test_foolboxs_defaults_are_those_of_the_published_analysis():
    """Another release of Foolbox may change them, and with them every number."""
    pgd, bim, deepfool = (vars(parse(name).foolbox) for name in ("pgd", "bim", "deepfool"))
    assert (pgd["steps"], pgd["abs_stepsize"], pgd["random_start"]) == (40, None, True)
    assert pgd["rel_stepsize"] == pytest.approx(1 / 30)
    assert bim == {"steps": 10, "rel_stepsize": 0.2, "abs_stepsize": None, "random_start": False}
    assert deepfool == {"steps": 50, "candidates": 10, "overshoot": 0.02, "loss": "logits"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pgd", "pgd"),
        (" pgd ", "pgd"),
        ("pgd()", "pgd"),
        ("pgd(steps=40)", "pgd"),
        ("pgd(steps=40, random_start=True)", "pgd"),
        ("pgd(steps=100)", "pgd(steps=100)"),
        ("pgd( steps = 100 , rel_stepsize=0.1 )", "pgd(rel_stepsize=0.1,steps=100)"),
        ("pgd(rel_stepsize=0.1,steps=100,random_start=True)", "pgd(rel_stepsize=0.1,steps=100)"),
        ("deepfool(candidates=None)", "deepfool(candidates=None)"),
        ("deepfool(loss='logits')", "deepfool"),
        ("LinfAdamPGD(steps=20)", "LinfAdamProjectedGradientDescentAttack(steps=20)"),
        ("PGD", "pgd"),
        ("LinfPGD(steps=3)", "pgd(steps=3)"),
        ("LinfDeepFoolAttack", "deepfool"),
    ],
)
def test_canonical_names(text, name):
    attack = parse(text)
    assert attack.name == name
    assert parse(name).name == name


def test_arguments_arrive():
    attack = parse("pgd(steps=7,rel_stepsize=0.1,random_start=False)").foolbox
    assert (attack.steps, attack.rel_stepsize, attack.random_start) == (7, 0.1, False)
    assert parse("deepfool(candidates=None)").foolbox.candidates is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fgms", "unknown attack 'fgms'. Did you mean 'fgsm'"),
        ("LinfPGDD", "Did you mean 'LinfPGD'"),
        ("_pgd", "unknown attack '_pgd'"),
        ("base", "unknown attack 'base'"),  # a module of foolbox.attacks
        ("Attack", "unknown attack 'Attack'"),  # Foolbox's base class
        ("", "no attack is named"),
        ("pgd(stpes=3)", "unknown argument 'stpes'. Did you mean 'steps'"),
        ("pgd(self=3)", "unknown argument 'self'"),
        ("uniform-noise(steps=3)", "unknown argument 'steps'"),
        ("pgd(3)", "key=value"),
        ("pgd(steps=3", "cannot read attack"),
        ("VirtualAdversarialAttack", "VirtualAdversarialAttack.*steps"),  # it has no default
        ("deepfool(epsilon=1)", "unknown argument 'epsilon'"),
        ("pgd(steps='many')", "steps must be a whole number of at least 0, got 'many'"),
        ("bim(steps=-1)", "steps must be at least 1, got -1"),
        ("bim(steps=0)", "steps must be at least 1, got 0"),
        ("pgd(steps=-1)", "steps must be at least 0, got -1"),
        ("pgd(steps=1000000000000)", "steps must be at most 1,000,000, got 1000000000000"),
        ("pgd(rel_stepsize=-0.1)", "rel_stepsize must be at least 0, got -0.1"),
        ("pgd(random_start='no')", "random_start must be True or False, got 'no'"),
        ("L2CarliniWagnerAttack(binary_search_steps=0)", "binary_search_steps must be at least 1, got 0"),
        ("bim(steps=2.5)", "steps must be a whole number"),
        ("deepfool(steps=True)", "steps must be a whole number"),
    ],
)
def test_a_mistake_is_named(text, words):
    with pytest.raises(InputError, match=words):
        parse_attacks([text])


@pytest.mark.parametrize("other", ["pgd", "pgd(steps=40)"])
def test_an_attack_twice_is_refused(other):
    with pytest.raises(InputError, match="'pgd' is listed twice"):
        parse_attacks(["pgd", "fgsm", other])


def test_other_arguments_make_another_attack():
    assert [attack.name for attack in parse_attacks(["pgd", "pgd(steps=100)"])] == ["pgd", "pgd(steps=100)"]


@pytest.mark.parametrize("other", ["PGD", "LinfPGD", "LinfProjectedGradientDescentAttack"])
def test_an_attack_twice_under_two_names_is_refused(other):
    with pytest.raises(InputError, match="twice"):
        parse_attacks(["pgd", other])


def test_two_norms_are_refused():
    with pytest.raises(
        InputError, match=r"L2ProjectedGradientDescentAttack bounds the L2 norm and fgsm the Linf norm.*by itself"
    ):
        parse_attacks(["fgsm", "pgd", "L2PGD"])


@pytest.mark.parametrize(
    ("texts", "norm"),
    [(["L2PGD", "FGM", "L2DeepFoolAttack"], l2), (["L1PGD", "EADAttack"], l1), (["pgd", "LInfFMNAttack"], linf)],
)
def test_one_norm_of_any_kind_is_taken(texts, norm):
    assert {attack.norm for attack in parse_attacks(texts)} == {norm}


@pytest.mark.parametrize("name", ["InversionAttack", "LinearSearchBlendedUniformNoiseAttack", "GaussianBlurAttack"])
def test_an_attack_of_any_norm_gets_linf(name):
    attack = parse(name)
    assert attack.norm is linf
    assert attack.name == name, "the norm is not an argument of the user's"


@pytest.mark.parametrize(
    ("text", "gradient", "minimises", "noise", "steps"),
    [
        ("fgsm", True, False, False, 1),
        ("bim", True, False, False, 10),
        ("pgd(steps=7)", True, False, False, 7),
        ("LinfAdamPGD", True, False, False, 50),
        ("MIFGSM", True, False, False, 10),
        ("uniform-noise", False, False, True, 0),
        ("LinfRepeatedAdditiveUniformNoiseAttack", False, False, True, 0),
        ("deepfool", False, True, False, 50),
        ("LInfFMNAttack", False, True, False, 100),
        ("InversionAttack", False, True, False, 0),
    ],
)
def test_kinds_of_attacks(text, gradient, minimises, noise, steps):
    attack = parse(text)
    assert (attack.follows_gradient, attack.minimises, attack.draws_noise, attack.steps) == (
        gradient,
        minimises,
        noise,
        steps,
    )


def test_cost_orders_the_published_attacks():
    ordered = sorted(parse_attacks(ATTACKS), key=lambda attack: attack.cost)
    assert [attack.name for attack in ordered] == ["uniform-noise", "fgsm", "deepfool", "bim", "pgd"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ModuleNotFoundError("No module named 'pyautoattack'", name="pyautoattack"),
            r"pip install 'mixlens\[autoattack\]'",
        ),
        (ModuleNotFoundError("No module named 'numba'", name="numba"), r"pip install numba\."),
        (ModuleNotFoundError("No module named 'numba.core'", name="numba.core"), r"pip install numba\."),
        (ImportError("libc is too old", name="numba"), r"numba fails to import \(libc is too old\)"),
        (ImportError("something"), r"one fails to import \(something\)"),
    ],
)
def test_the_package_that_is_missing_is_named(monkeypatch, error, told):
    def fail(self, **_):
        raise error

    monkeypatch.setattr(AutoAttack, "__init__", fail)
    with pytest.raises(InputError, match=f"needs another package: {told}"):
        parse("autoattack")
