"""The selector language: texts and golden identities are those of Calico's own tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chita.errors import ParseError
from chita.model.selector import (
    All,
    And,
    Contains,
    Differs,
    EndsWith,
    Equals,
    Global,
    Has,
    In,
    Not,
    NotIn,
    Or,
    Restriction,
    Selector,
    StartsWith,
    all_,
    and_,
    canonical,
    compile_selector,
    equals,
    has,
    in_,
    matches,
    mentioned_keys,
    not_,
    or_,
    parse_selector,
    restrictions,
    uid,
    with_prefix,
)
from chita.model.selector_parse import MAX_DEPTH

KEYS = st.sampled_from(["a", "b", "k8s-app", "projectcalico.org/namespace", "in", "contains"])
VALUES = st.text(alphabet="ab'.-", max_size=3)
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


def _trees(children: st.SearchStrategy[Selector]) -> st.SearchStrategy[Selector]:
    some = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(children.map(not_), some.map(And), some.map(Or))


LEAVES: st.SearchStrategy[Selector] = st.one_of(
    st.just(All()),
    st.builds(Has, KEYS),
    *[st.builds(kind, KEYS, VALUES) for kind in (Equals, Differs, Contains, StartsWith, EndsWith)],
    *[st.builds(kind, KEYS, st.frozensets(VALUES, max_size=3)) for kind in (In, NotIn)],
)
SELECTORS = st.recursive(LEAVES, _trees, max_leaves=6)


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        pytest.param("a == 'b'", [{"a": "b"}], [{}, {"a": "c"}, {"c": "b"}], id="equals"),
        pytest.param("a != 'b'", [{}, {"a": "c"}], [{"a": "b"}], id="differs-or-absent"),
        pytest.param('a in {"b", \'"\'}', [{"a": "b"}, {"a": '"'}], [{}, {"a": "c"}], id="in"),
        pytest.param("a in {}", [], [{}, {"a": ""}], id="in-empty-set"),
        pytest.param("a not in {'b'}", [{}, {"a": "c"}], [{"a": "b"}], id="not-in-or-absent"),
        pytest.param("a not in {}", [{}, {"a": "b"}], [], id="not-in-empty-set"),
        pytest.param("a contains 'b'", [{"a": "abc"}], [{}, {"a": "ac"}], id="contains"),
        pytest.param("a starts with 'b'", [{"a": "bc"}], [{}, {"a": "cb"}], id="starts-with"),
        pytest.param("a ends with 'b'", [{"a": "cb"}], [{}, {"a": "bc"}], id="ends-with"),
        pytest.param("a contains ''", [{"a": ""}], [{}], id="empty-part-needs-the-label"),
        pytest.param("has(a)", [{"a": ""}], [{}, {"b": "a"}], id="has"),
        pytest.param("!has(a)", [{}], [{"a": "b"}], id="not-has"),
        pytest.param("!!has(a)", [{"a": "b"}], [{}], id="not-not"),
        pytest.param("! ! !has(a)", [{}], [{"a": "b"}], id="not-thrice"),
        pytest.param("!a == 'b'", [{}, {"a": "c"}], [{"a": "b"}], id="not-binds-comparison"),
        pytest.param(
            "a == 'b' && c == 'd' || e == 'f'",
            [{"a": "b", "c": "d"}, {"e": "f"}],
            [{"a": "b"}, {"c": "d"}],
            id="and-before-or",
        ),
        pytest.param(
            "a == 'b' && (c == 'd' || e == 'f')",
            [{"a": "b", "e": "f"}],
            [{"e": "f"}, {"a": "b"}],
            id="parentheses",
        ),
        pytest.param("", [{}, {"a": "b"}], [], id="empty-is-all"),
        pytest.param(" \t", [{}], [], id="blank-is-all"),
        pytest.param("all( )", [{}], [], id="all-with-space-inside"),
        pytest.param("global()", [{}, {"a": "b"}], [], id="global"),
    ],
)
def test_matches(text: str, yes: list[dict[str, str]], no: list[dict[str, str]]) -> None:
    """What each operator says where the label is there and where it is absent."""
    selector = parse_selector(text)
    predicate = compile_selector(selector)

    assert [True] * len(yes) == [matches(selector, labels) for labels in yes]
    assert [False] * len(no) == [matches(selector, labels) for labels in no]
    assert [True] * len(yes) == [predicate(labels) for labels in yes]
    assert [False] * len(no) == [predicate(labels) for labels in no]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a=='b'", Equals("a", "b"), id="no-space"),
        pytest.param('contains contains "contains"', Contains("contains", "contains"), id="word"),
        pytest.param("startswith starts with 'v'", StartsWith("startswith", "v"), id="label-word"),
        pytest.param("in in {'in'}", In("in", frozenset({"in"})), id="in-in"),
        pytest.param("not not in {'a'}", NotIn("not", frozenset({"a"})), id="not-not-in"),
        pytest.param("all == 'x'", Equals("all", "x"), id="all-as-label"),
        pytest.param("has == 'x'", Equals("has", "x"), id="has-as-label"),
        pytest.param("allowed == 'x'", Equals("allowed", "x"), id="label-starts-with-all"),
        pytest.param("a startswith'v'", StartsWith("a", "v"), id="one-word"),
        pytest.param("a ends \t with 'v'", EndsWith("a", "v"), id="spaces-in-operator"),
        pytest.param("a  not   in{'v',}", NotIn("a", frozenset({"v"})), id="trailing-comma"),
        pytest.param("a notin {'v'}", NotIn("a", frozenset({"v"})), id="notin"),
        pytest.param("has( a/b.c_d-E )", Has("a/b.c_d-E"), id="label-characters"),
        pytest.param("((a == 'b'))", Equals("a", "b"), id="parentheses-vanish"),
        pytest.param("!!!has(a)", Not(Has("a")), id="negations-collapse-pairwise"),
        pytest.param("!(!has(a))", Not(Not(Has("a"))), id="but-not-through-parentheses"),
        pytest.param("a == 'x\ny'", Equals("a", "x\ny"), id="line-break-in-string"),
        pytest.param(f"has({'x' * 512})", Has("x" * 512), id="longest-label"),
        pytest.param(
            "a=='1'||a=='2'||(a=='3'||a=='4')",
            Or((Equals("a", "1"), Equals("a", "2"), Or((Equals("a", "3"), Equals("a", "4"))))),
            id="shape-is-kept",
        ),
        pytest.param("(" * 509 + "all()" + ")" * 509, All(), id="parentheses-alone-are-no-level"),
    ],
)
def test_parse(text: str, expected: Selector) -> None:
    assert expected == parse_selector(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        pytest.param("b == b", 5, id="label-on-the-right"),
        pytest.param("b contains b", 11, id="contains-label"),
        pytest.param("'b1' == b", 0, id="string-on-the-left"),
        pytest.param("b", 1, id="bare-label"),
        pytest.param("a b", 2, id="two-labels"),
        pytest.param("!", 1, id="bare-not"),
        pytest.param("a = 'b'", 2, id="single-equals"),
        pytest.param("a ! = 'b'", 2, id="split-operator"),
        pytest.param("a == 'b' &", 9, id="single-and"),
        pytest.param("a == 'b' |", 9, id="single-or"),
        pytest.param("a != ||", 5, id="operator-as-value"),
        pytest.param('a in {"", ||', 10, id="open-set"),
        pytest.param("a in {'x' 'y'}", 10, id="set-without-comma"),
        pytest.param("a in {,}", 6, id="set-of-a-comma"),
        pytest.param('a in ""', 5, id="in-string"),
        pytest.param('"FOO', 0, id="string-first"),
        pytest.param("a == \"FOO'", 5, id="unterminated"),
        pytest.param("(", 1, id="open-parenthesis"),
        pytest.param('(a == "b"', 9, id="unclosed-parenthesis"),
        pytest.param(")", 0, id="closing-parenthesis"),
        pytest.param("has(a))", 6, id="one-closing-too-many"),
        pytest.param("()", 1, id="empty-parentheses"),
        pytest.param("a == 'b' && %", 12, id="strange-character"),
        pytest.param("has(foo) &&", 11, id="open-and"),
        pytest.param("has (a)", 4, id="space-before-parenthesis"),
        pytest.param("has()", 4, id="has-nothing"),
        pytest.param("has(a", 5, id="has-unclosed"),
        pytest.param("all(a)", 4, id="all-of-something"),
        pytest.param("all() all()", 6, id="two-operands"),
        pytest.param("a ==\n'b'", 4, id="line-break"),
        pytest.param("a == 'b'\u00a0", 8, id="no-break-space"),
        pytest.param("label starts foo 'v'", 6, id="starts-without-with"),
        pytest.param("a not 'v'", 2, id="not-without-in"),
        pytest.param(f"has({'x' * 513})", 4, id="label-too-long"),
        pytest.param("!(" * 351 + "all()" + ")" * 351, 3, id="too-deep"),
    ],
)
def test_parse_refuses(text: str, position: int) -> None:
    """The position is where the text stops to make sense."""
    with pytest.raises(ParseError) as caught:
        parse_selector(text)

    assert position == caught.value.position


@pytest.mark.parametrize(
    ("text", "expected", "expected_uid"),
    [
        pytest.param("", "all()", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug", id="empty"),
        pytest.param(" (all() )", "all()", "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug", id="all"),
        pytest.param(
            "! (has( b)||! has(a ))",
            "!(has(b) || !has(a))",
            "s:Iss0uCleLYv1GSv_pNm7hAO58kE9jAx1NKyG3Q",
            id="or",
        ),
        pytest.param(
            '! (a == "b"&&! c != "d")',
            '!(a == "b" && !c != "d")',
            "s:lh3haoY1ikTRkd4UZu0nWSaIBknYLPJLX16d-w",
            id="and",
        ),
        pytest.param("a == '\"'", "a == '\"'", None, id="double-quote"),
        pytest.param('a contains "\'"', 'a contains "\'"', None, id="single-quote"),
        pytest.param("a startswith 'x'", 'a starts with "x"', None, id="starts-with"),
        pytest.param("a endswith 'x'", 'a ends with "x"', None, id="ends-with"),
        pytest.param("a notin {}", "a not in {}", None, id="not-in"),
        pytest.param(
            "a in {'z', 'x', 'z', 'B'}", 'a in {"B", "x", "z"}', None, id="sets-sorted-once"
        ),
        pytest.param("a in {'b', '\"'}", 'a in {\'"\', "b"}', None, id="quotes-by-value"),
        pytest.param("!!has(a)", "has(a)", None, id="leading-negations-collapse"),
        pytest.param("!(!has(a))", "!!has(a)", None, id="negation-in-parentheses-stays"),
        pytest.param("!!(!(!(has(a))))", "!!has(a)", None, id="each-operand-collapses-its-own"),
        pytest.param("!((!has(a)))", "!!has(a)", None, id="redundant-parentheses-vanish-first"),
        pytest.param(
            "(a == 'b' && c == 'd') && has(e)",
            '((a == "b" && c == "d") && has(e))',
            None,
            id="shape-stays",
        ),
    ],
)
def test_canonical(text: str, expected: str, expected_uid: str | None) -> None:
    """Upstream's own rows (``parser_test.go``, canonicalisationTests), and how it negates.

    In ``parser.go`` parseOperation folds the ``!`` that lead one operand to a single one and wraps
    the operand, itself a NotNode or not, in a NotNode; in ``ast.go`` NotNode prints ``!`` and its
    operand. So ``!(!a)`` is two nodes and prints ``!!a``.
    """
    selector = parse_selector(text)

    assert expected == canonical(selector)
    assert expected_uid in (uid(selector), None)


@given(SELECTORS)
def test_canonical_text_parses_back(selector: Selector) -> None:
    assert selector == parse_selector(canonical(selector))


PIECES = st.sampled_from(
    ["a", "has(", "all()", "in", "not ", "'x'", '"', "==", "!", "&&", "||", "(", ")", "{", "}", ","]
)


@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_any_text_is_a_selector_or_refused_at_a_place(text: str) -> None:
    """What parses has a canonical form that means the same; what does not says where."""
    position: int | None = 0
    try:
        selector = parse_selector(text)
    except ParseError as error:
        position = error.position
    else:
        again = parse_selector(canonical(selector))
        assert canonical(again) == canonical(selector).replace("!!", "")
        assert [matches(selector, labels) for labels in ({}, {"a": "x"})] == [
            matches(again, labels) for labels in ({}, {"a": "x"})
        ]

    assert position in range(len(text) + 1)


@given(SELECTORS, LABELS)
def test_compiled_matches_alike(selector: Selector, labels: dict[str, str]) -> None:
    assert matches(selector, labels) == compile_selector(selector)(labels)


@given(SELECTORS, LABELS)
def test_only_mentioned_keys_decide(selector: Selector, labels: dict[str, str]) -> None:
    """Endpoints are classed by these keys, so no other label may change the answer."""
    mentioned = {key: labels[key] for key in labels.keys() & mentioned_keys(selector)}

    assert matches(selector, labels) == matches(selector, mentioned)


@given(SELECTORS, LABELS)
def test_restrictions_are_sound(selector: Selector, labels: dict[str, str]) -> None:
    """Whatever matches keeps every restriction."""
    if not matches(selector, labels):
        return
    for key, restriction in restrictions(selector).items():
        assert not restriction.present or key in labels
        assert not restriction.absent or key not in labels
        assert restriction.values is None or labels[key] in restriction.values


@given(SELECTORS, LABELS)
def test_prefix_moves_the_labels(selector: Selector, labels: dict[str, str]) -> None:
    prefixed = {f"pcns.{key}": value for key, value in labels.items()}

    assert matches(selector, labels) == matches(with_prefix(selector, "pcns."), prefixed)


@given(st.lists(SELECTORS, max_size=3), LABELS)
def test_builders_mean_their_operators(selectors: list[Selector], labels: dict[str, str]) -> None:
    answers = [matches(selector, labels) for selector in selectors]

    assert all(answers) == matches(and_(*selectors), labels)
    assert any(answers) == matches(or_(*selectors), labels)


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        pytest.param(and_(), "all()", id="and-of-nothing"),
        pytest.param(and_(all_(), has("a")), "has(a)", id="and-drops-all"),
        pytest.param(and_(has("a"), and_(has("b"), has("a"))), "(has(a) && has(b))", id="and-flat"),
        pytest.param(or_(), "!all()", id="or-of-nothing"),
        pytest.param(or_(has("a"), all_()), "all()", id="or-of-all"),
        pytest.param(
            or_(has("a"), or_(has("b"), has("c"))), "(has(a) || has(b) || has(c))", id="or"
        ),
        pytest.param(not_(not_(has("a"))), "has(a)", id="not-not"),
        pytest.param(in_("a", ["y", "x"]), 'a in {"x", "y"}', id="in"),
        pytest.param(with_prefix(equals("a", "b"), "pcns."), 'pcns.a == "b"', id="prefix"),
        pytest.param(
            with_prefix(parse_selector("!(!(k == 'v' && has(t) || all()) && a in {'b'})"), "x/"),
            '!(!((x/k == "v" && has(x/t)) || all()) && x/a in {"b"})',
            id="prefix-everywhere",
        ),
    ],
)
def test_builders(built: Selector, expected: str) -> None:
    assert expected == canonical(built)


def test_values_that_cannot_be_written_are_refused() -> None:
    """Strings have no escapes, so a value with both quotes would not parse back."""
    with pytest.raises(ParseError, match="both kinds of quotes"):
        equals("a", "\"'")
    with pytest.raises(ParseError, match="both kinds of quotes"):
        in_("a", ["x", "\"'"])


ONE = Restriction(present=True, values=frozenset({"v1"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="all"),
        pytest.param("global()", {}, id="global"),
        pytest.param("a == 'v1'", {"a": ONE}, id="equals"),
        pytest.param("a != 'v1'", {}, id="differs"),
        pytest.param("has(a)", {"a": Restriction(present=True)}, id="has"),
        pytest.param("a contains 'x'", {"a": Restriction(present=True)}, id="contains"),
        pytest.param("a not in {'x'}", {}, id="not-in"),
        pytest.param("a == 'v1' && has(a)", {"a": ONE}, id="and-keeps-the-value"),
        pytest.param("has(a) && a == 'v1'", {"a": ONE}, id="and-either-order"),
        pytest.param(
            "a == 'v1' && a == 'v2'",
            {"a": Restriction(present=True, values=frozenset())},
            id="and-contradiction",
        ),
        pytest.param("a in {'v1', 'v2'} && a in {'v1', 'v3'}", {"a": ONE}, id="and-intersects"),
        pytest.param(
            "has(a) && !has(a)", {"a": Restriction(present=True, absent=True)}, id="and-absent"
        ),
        pytest.param("all() && a == 'v1'", {"a": ONE}, id="and-all"),
        pytest.param(
            "a == 'v1' || a == 'v2'",
            {"a": Restriction(present=True, values=frozenset({"v1", "v2"}))},
            id="or-joins",
        ),
        pytest.param("has(a) || a == 'v2'", {"a": Restriction(present=True)}, id="or-has"),
        pytest.param("a == 'v1' || has(b)", {}, id="or-other-key"),
        pytest.param(
            "a == 'v2' || (has(b) && has(a))", {"a": Restriction(present=True)}, id="or-nested"
        ),
        pytest.param("a == 'v1' || all()", {}, id="or-all"),
        pytest.param("!(a == 'v1')", {}, id="not-equals"),
        pytest.param("!has(a)", {"a": Restriction(absent=True)}, id="not-has"),
    ],
)
def test_restrictions(text: str, expected: dict[str, Restriction]) -> None:
    assert expected == restrictions(parse_selector(text))


DEEPEST = MAX_DEPTH // 2 - 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("!(a=='b'&&" * DEEPEST + "all()" + ")" * DEEPEST, id="negated-conjunctions"),
        pytest.param("!(has(a)||" * DEEPEST + "all()" + ")" * DEEPEST, id="negated-alternatives"),
        pytest.param(("!(" * 338 + "has(a)" + ")" * 338)[:1024], id="all-that-1024-letters-can"),
    ],
)
def test_the_deepest_selector_can_be_used(text: str) -> None:
    """What the parser lets through exhausts no reader's stack."""
    selector = parse_selector(text)

    assert canonical(parse_selector(canonical(selector))) in ("has(a)", canonical(selector))
    assert matches(selector, {"a": "b"}) == compile_selector(selector)({"a": "b"})
    assert {"x.a"} == mentioned_keys(with_prefix(selector, "x."))
    assert {} == restrictions(selector)
    assert hash(selector) == hash(parse_selector(text))
    assert selector == parse_selector(text)


def test_selectors_key_a_dict() -> None:
    """Equal selectors are one key, in whatever order a set was written."""
    seen = {parse_selector("a in {'x', 'y'}"): 1}

    assert 1 == seen[parse_selector('a in {"y", "x", "x"}')]
    assert parse_selector("global()") == Global()
    assert parse_selector("!global()") == Not(Global())
