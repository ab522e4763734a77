import sys
from types import ModuleType

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.spec import (
    Spec,
    call,
    expand,
    expand_named,
    load_object,
    read_spec,
    source_of,
    split_list,
    without_defaults,
)


def test_finds_an_installed_object():
    assert load_object("collections.abc:Mapping", "thing") is __import__("collections").abc.Mapping


def test_current_folder_is_importable_once(here):
    (here / "plugins_mine.py").write_text("value = 7\n")
    assert load_object("plugins_mine:value", "thing") == 7
    assert load_object("plugins_mine:value", "thing") == 7
    assert sys.path.count(str(here)) == 1


@pytest.mark.parametrize("spec", ["", "cifar10", "a:", ":b", "a:b:c", "a b:c", "a..b:c", ".a:b", "a/b.py:c", "a:b()"])
def test_other_forms_are_refused(spec):
    with pytest.raises(InputError, match=r"thing .* is not of the form package\.module:name"):
        load_object(spec, "thing")


def test_a_missing_module_is_named_with_the_folder(here):
    with pytest.raises(InputError) as caught:
        load_object("plugins_absent.deep:make", "augmentation")
    assert "augmentation 'plugins_absent.deep:make'" in str(caught.value)
    assert "No module named 'plugins_absent'" in str(caught.value)
    assert str(here) in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import plugins_gone", "plugins_gone"),
        ("def f(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_fails_is_told_with_its_error(here, code, told):
    (here / "plugins_broken.py").write_text(code + "\n")
    with pytest.raises(InputError, match=told) as caught:
        load_object("plugins_broken:make", "thing")
    assert caught.value.__cause__ is not None


def test_a_misspelt_name_gets_the_nearest(here):
    (here / "plugins_names.py").write_text("def make_data(): ...\n")
    with pytest.raises(InputError, match=r"'plugins_names': 'make_dta'. Did you mean 'make_data'\?"):
        load_object("plugins_names:make_dta", "thing")


# name(key=value, …)


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("mixup", "mixup", {}),
        ("  mixup ", "mixup", {}),
        ("mixup()", "mixup", {}),
        ("mixup(alpha=0.2)", "mixup", {"alpha": 0.2}),
        (" mixup ( alpha = -2 , beta=1e-3,) ", "mixup", {"alpha": -2, "beta": 1e-3}),
        ("my.code:make(name='a,b)', sizes=[1, 2], deep={'k': (3,)}, on=True, off=None)", "my.code:make",
         {"name": "a,b)", "sizes": [1, 2], "deep": {"k": (3,)}, "on": True, "off": None}),
        ("a(on=true, off=false, no=none, nor=null)", "a", {"on": True, "off": False, "no": None, "nor": None}),
        ("fmix+mixup(alpha=1)", "fmix+mixup", {"alpha": 1}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_reads_a_call_with_plain_literals(text, name, values):
    spec = read_spec(text, "thing")
    assert spec == Spec(name, values)
    assert [type(value) for value in spec.arguments.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    "text",
    [
        "a(",
        "a(x=1",
        "a(x=1))",
        "a(1)",
        "a(*[1])",
        "a(**{'x': 1})",
        "a(x=1, x=2)",
        "a(x=1)(y=2)",
        "a(x=1) + b(y=2)",
        "a(x=1).b",
        "a(x=1), b(x=2)",
        "a(x=y)",
        "a(x=1+1)",
        "a(x=__import__('os').getcwd())",
        "a(x=f'{1}')",
        "a(x=[i for i in (1,)])",
        "a(x={1, 2})",
        "a(x=b'1')",
        "a(x=1j)",
        "a(x=1e999)",
        "a(x=...)",
        "a(x y)",
        "a(x=\x00)",
    ],
)
def test_what_is_no_call_with_plain_literals_is_refused_and_shown(text):
    with pytest.raises(InputError, match=r"cannot read thing .*Write it as name\(key=value, …\)") as caught:
        read_spec(text, "thing")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bengali(head=root)", "text stands in quotes, head='root'"),
        ("a(x=1+1)", r"x=1 \+ 1 is no plain value"),
        ("a(x=[root])", r"x=\[root\] is no plain value"),
    ],
)
def test_what_is_no_literal_is_told_by_its_name(text, told):
    with pytest.raises(InputError, match=told):
        read_spec(text, "thing")


def test_nothing_in_a_call_is_run(here):
    with pytest.raises(InputError):
        read_spec("a(x=open('made', 'w'))", "thing")
    assert not (here / "made").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a , b(x=1, y=2) ,c ", ["a", "b(x=1, y=2)", "c"]),
        ("a(x=(1,2),y=[3,4]),b", ["a(x=(1,2),y=[3,4])", "b"]),
        ("m:f(x=1),m:g", ["m:f(x=1)", "m:g"]),
        (",a,,b,", ["a", "b"]),
        ("", []),
        (" , ", []),
    ],
)
def test_splits_at_the_commas_outside_parentheses(text, parts):
    assert split_list(text) == parts


@pytest.mark.parametrize("text", ["a(x=1,b", "a),b(x=1,y=2)", "a(x=(1,2),b"])
def test_unbalanced_parentheses_lose_no_letter(text):
    """What is wrong with a part is then told by whoever reads it."""
    assert ",".join(split_list(text)) == text


# "," and ")" within quotes are read_call's to understand; split_list counts them.
@pytest.mark.parametrize("text", ["a(x=')',y=1)", "a(x='(')"])
def test_parentheses_within_quotes_do_not_count(text):
    assert split_list(f"{text},b") == [text, "b"]


@pytest.mark.parametrize("text", ["fmix", "fmix(alpha=0.2)", "m.n:f(a='x(y',b=[1, (2, 3)],c=None)", "a(b={'k': (1,)})"])
def test_the_canonical_text_reads_back_as_itself(text):
    spec = read_spec(text, "thing")
    assert read_spec(spec.text, "thing") == spec
    assert read_spec(spec.text, "thing").text == spec.text


def test_the_canonical_text_does_not_depend_on_the_order_of_arguments():
    assert read_spec("a(z=1, b=2)", "thing").text == read_spec("a(b=2,z=1)", "thing").text == "a(b=2,z=1)"


# lists stand for each of their values


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("fmix", ["fmix"]),
        (" fmix( alpha = 1 ) ", [" fmix( alpha = 1 ) "]),  # as it was written, where nothing is listed
        ("fmix(alpha=[0.2, 1, 5])", ["fmix(alpha=0.2)", "fmix(alpha=1)", "fmix(alpha=5)"]),
        ("f(b=[1,2], a=['x','y'])", ["f(a='x',b=1)", "f(a='y',b=1)", "f(a='x',b=2)", "f(a='y',b=2)"]),
        ("f(a=[(1, 2), (3,)])", ["f(a=(1, 2))", "f(a=(3,))"]),
        ("f(a=(1, 2))", ["f(a=(1, 2))"]),
        ("f(a=[7])", ["f(a=7)"]),
        ("f(a=[5, 0.2, None, 1])", ["f(a=0.2)", "f(a=1)", "f(a=5)", "f(a=None)"]),  # numbers ascend
        ("f(a=['y', 'x'])", ["f(a='y')", "f(a='x')"]),
    ],
)  # fmt: skip
def test_a_list_is_one_text_for_each_of_its_values(text, texts):
    assert expand(text, "thing") == texts


def test_an_empty_list_is_refused():
    with pytest.raises(InputError, match=r"thing 'f\(a=\[\]\)': a is an empty list"):
        expand("f(a=[])", "thing")


def test_a_value_that_is_listed_twice_is_refused():
    with pytest.raises(InputError, match=r"thing 'f\(a=\[1,1.0\]\)': a lists 1.0 twice"):
        expand("f(a=[1,1.0])", "thing")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("fmix(alpha=1)", [("fmix(alpha=1)", "")]),  # the = within parentheses names nothing
        ("soft=fmix(alpha=5)", [("fmix(alpha=5)", "soft")]),
        (" soft = fmix ", [("fmix", "soft")]),
        ("st=my.mod:make", [("my.mod:make", "st")]),
        ("st=my:make(k='a=b',w=[4,2])", [("my:make(k='a=b',w=2)", "st(w=2)"), ("my:make(k='a=b',w=4)", "st(w=4)")]),
        ("st=my:make(w=[2.0,0.5])", [("my:make(w=0.5)", "st(w=0.5)"), ("my:make(w=2.0)", "st(w=2)")]),
    ],
)
def test_a_name_stands_before_what_it_names(text, pairs):
    assert expand_named(text, "thing") == pairs


@pytest.mark.parametrize("name", ["", "a b", "2nd", "a:b", "a.b", "'a'", "-a"])
def test_a_name_that_is_no_plain_one_is_refused(name):
    with pytest.raises(InputError, match="is no plain one"):
        expand_named(f"{name}=fmix(alpha=5)", "thing")


# factories


def test_a_factory_gets_its_arguments_and_what_it_names_of_what_is_offered():
    def make(depth, width=3, *, classes):
        return depth, width, classes

    assert call(make, {"depth": 2}, "thing", classes=10, channels=1) == (2, 3, 10)
    assert call(make, {"depth": 2, "classes": 7}, "thing", classes=10) == (2, 3, 7), (
        "what was written has the last word"
    )


def test_what_has_no_signature_is_called_all_the_same():
    assert call(dict, {"a": 1}, "thing", classes=10) == {"a": 1}


@pytest.mark.parametrize(
    ("factory", "arguments", "words"),
    [
        (3, {}, "thing 'x': expected a function to call, found int"),
        (lambda: 1, {"a": 1}, "thing 'x': got an unexpected keyword argument 'a'"),
        (lambda a: a, {}, "thing 'x': missing a required argument: 'a'"),
        (lambda: 1 / 0, {}, "thing 'x': its factory failed with ZeroDivisionError: division by zero"),
        (lambda: sys.exit(3), {}, "thing 'x': its factory failed with SystemExit: 3"),
    ],
)
def test_a_factory_that_cannot_be_used_is_named(factory, arguments, words):
    with pytest.raises(InputError) as caught:
        call(factory, arguments, "thing 'x'")
    assert words in str(caught.value)


def test_arguments_at_their_defaults_are_left_out():
    defaults = {"alpha": 1.0, "mode": "elem", "count": 3}
    assert without_defaults({"alpha": 1, "mode": "elem", "count": 3}, defaults, "thing") == {}
    kept = without_defaults({"alpha": 2, "count": 4}, defaults, "thing")
    assert kept == {"alpha": 2.0, "count": 4}
    assert type(kept["alpha"]) is float, "alpha=2 and alpha=2.0 are the same"
    with pytest.raises(InputError, match=r"thing: unknown argument 'alpa'. Did you mean 'alpha'"):
        without_defaults({"alpa": 1}, defaults, "thing")


# the file that something comes from


def test_a_file_that_was_edited_after_its_import_is_refused(here):
    """What runs is the old code; under the edited file's key its result would be taken for the new one's."""
    file = here / "mixlens_tests_edited.py"
    file.write_text("def make():\n    return 1\n")
    before = source_of("mixlens_tests_edited:make", "thing")
    assert before == source_of("mixlens_tests_edited:make", "thing")
    file.write_text("def make():\n    return 2\n")
    with pytest.raises(InputError, match=r"mixlens_tests_edited\.py was edited after this process imported it"):
        source_of("mixlens_tests_edited:make", "thing")
    del sys.modules["mixlens_tests_edited"]
    assert source_of("mixlens_tests_edited:make", "thing") != before


def test_what_comes_from_no_file_has_no_name(monkeypatch):
    module = ModuleType("mixlens_tests_cell")
    module.make = lambda: 1
    monkeypatch.setitem(sys.modules, "mixlens_tests_cell", module)
    for file in (None, "<stdin>"):
        module.__file__ = file
        with pytest.raises(InputError, match=r"mixlens_tests_cell has none\. Put it into a \.py file"):
            source_of("mixlens_tests_cell:make", "thing")


def test_what_was_expanded_once_stays():
    """A study is read again where it is run."""
    (first, second) = expand("make(sizes=[[1,2],[3,[4]]])", "thing")
    assert (first, second) == ("make(sizes=(1, 2))", "make(sizes=(3, (4,)))")
    assert expand(first, "thing") == [first]


def test_a_text_of_many_levels_is_one_message():
    for count in (3_000, 200_000):
        with pytest.raises(InputError) as caught:
            read_spec(f"f(a={'-' * count}1)", "thing")
        assert len(str(caught.value)) < 500
