"""Rules: the grammar, what they mean, what follows from them for single cells, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mnar.data.kinds.dates import Date
from pyro_mnar.data.kinds.levels import Categorical, Ordinal
from pyro_mnar.data.kinds.numbers import Continuous, Positive
from pyro_mnar.data.rules.not_applicable import codes_and_conditions
from pyro_mnar.data.rules.rule_ends import broken_rows, implied_ends
from pyro_mnar.data.rules.rule_feasibility import check_feasible
from pyro_mnar.data.rules.rule_grammar import parsed_rule
from pyro_mnar.data.rules.rule_parts import Comparison
from pyro_mnar.data.rules.rule_repair import moved_inside, repaired
from pyro_mnar.data.rules.rules import Rule, read_rule, rules_of

COLUMNS = [
    Continuous("a", "float64"),
    Continuous("b c", "float64"),
    Categorical("s", "str", ("no", "yes")),
    Ordinal("g", "str", ("lo", "mid", "hi")),
    Date("start", "datetime64[ns]"),
    Date("end", "datetime64[ns]"),
    Ordinal("r", "int64", (1.0, 2.0, 5.0)),
    Continuous("n", "int64"),
    Positive("p", "float64"),
]
NAMES = [*(column.name for column in COLUMNS), "same"]


def rule(text: str) -> Rule:
    return read_rule(text, COLUMNS, NAMES, "rules")


def row(**own: float) -> np.ndarray:
    values = np.zeros(len(COLUMNS))
    for name, value in own.items():
        values[[str(column.name).replace(" ", "_") for column in COLUMNS].index(name)] = value
    return values


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("a >= `b c`", {"a": 2, "b_c": 2}, {"a": 2, "b_c": np.nextafter(2, 3)}),
        ("a + `b c` == n", {"a": 0.1, "b_c": 0.2, "n": 0.1 + 0.2}, {"a": 1, "b_c": 1, "n": 2.001}),
        ("0 <= a <= 10 < n", {"a": 10, "n": 11}, {"a": 10, "n": 10}),
        ("if s == 'no': a == 0", {"s": 1, "a": 3}, {"s": 0, "a": 3}),
        ("if s == 'no' and (n > 3 or n < 1): a == 0", {"s": 0, "n": 2, "a": 3}, {"s": 0, "n": 0, "a": 3}),
        ("g >= 'mid'", {"g": 1}, {"g": 0}),
        ("'mid' < g", {"g": 2}, {"g": 1}),
        ("r > 1", {"r": 1}, {"r": 0}),
        ("r == '5'", {"r": 2}, {"r": 0}),
        ("s != 'no'", {"s": 1}, {"s": 0}),
        ("start <= end", {"start": 5, "end": 5}, {"start": 5, "end": 4}),
        ("end - start <= 30", {"start": 5, "end": 35}, {"start": 5, "end": 36}),
        ("start <= 1970-01-03", {"start": 2}, {"start": 3}),
        ("start <= '1970-01-03T12:00'", {"start": 2.5}, {"start": 2.6}),
        ("-(a - 3) * 2 / 4 < --1", {"a": 2}, {"a": 0}),
        ("a != 0", {"a": 1}, {"a": 0}),
    ],
)
def test_meaning(text: str, true: dict[str, float], false: dict[str, float]) -> None:
    part = rule(text).part
    assert bool(part.holds(row(**true))) and not bool(part.holds(row(**false)))
    opposite = part.negated()
    assert not bool(opposite.holds(row(**true))) and bool(opposite.holds(row(**false)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start < 5", "a date beside a date"),
        ("s < 'no'", "whose levels have no order"),
        ("a*a < 1", "linear in the columns"),
        ("s == 'maybe'", r"a level of column 's' \(no, yes\)"),
        ("aa < 1", r"at 'aa < 1' \(character 1\), expected a column of the table, such as a"),
        ("same < 1", "a column that is modeled"),
        ("a < 'x'", "a word stands beside a column of levels alone"),
        ("g == 1", "in quotes"),
        ("g + 1 < 2", "levels stand alone"),
        ("a / 0 < 1", "another number than 0"),
        ("1 < 2", "a column that it depends on"),
        ("1e999 > a", "finite numbers"),
        ("a and a < 1", "a comparison such as"),
        ("s == g", "a column with the levels of 's'"),
        ("g < 'lo'", "at least one level"),
        ("a <", "which goes wrong"),
        ("a ** 2 > 1", "which goes wrong"),
        ("__import__('os').system('x')", "which goes wrong"),
        ("", "goes wrong at its end"),
        ("(" * 50 + "a" + ")" * 50 + "<1", "brackets in one another"),
        ("a < 1" * 1000, "at most 2000 characters"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^rules: got .*{message}"):
        rule(text)


def test_what_are_no_texts() -> None:
    for said in ("a < 1", 3, [3], [None]):
        with pytest.raises(TypeError, match="^rules: got"):
            rules_of(said, COLUMNS, NAMES)
    assert rules_of(None, COLUMNS, NAMES) == ()


WORDS = """a `b|c` s 'no' g start 2020-01-01 1 -3.5 1e308 + - * / < <= == != > ( ) if : and or not lambda import . , [ { ` ' " é"""
PIECES = st.sampled_from([*(word.replace("|", " ") for word in WORDS.split(" ")), "\\", "\n", "\t", "\0", "9" * 400])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=30).map(" ".join), st.lists(PIECES, max_size=30).map("".join), st.text(max_size=60)))
def test_hostile_texts_are_read_or_refused(text: str) -> None:
    try:
        found = rule(text)
    except (ValueError, TypeError):
        return
    assert found.part.holds(np.zeros((2, len(COLUMNS)))).shape == (2,)


def test_long_chains_are_read_in_time() -> None:
    assert parsed_rule(" + ".join(["a"] * 400) + " < 1").what == "<"
    assert len(rule(" and ".join(["a<1"] * 200)).part.columns) == 1
    assert bool(rule("0<" + "a<n<" * 50 + "9").part.holds(row(a=1)) is not None)


def test_single_cells_get_limits_and_values() -> None:
    columns = [Continuous("a", "float64"), Continuous("b", "float64"), Continuous("t", "int64"), Categorical("s", "str", ("no", "yes"))]
    names = [column.name for column in columns]
    table = np.array([[1.5, np.nan, 9, 1], [np.nan, 4, np.nan, 1], [np.nan, 4, 9, 0], [2, np.nan, np.nan, 0], [np.nan, 2.5, 2, 1]])
    values, mask = np.nan_to_num(table), ~np.isnan(table)

    def ends(*texts: str) -> np.ndarray:
        found = implied_ends(rules_of(list(texts), columns, names), columns, table, values, mask)
        assert found is not None
        return found

    below = ends("a <= b")
    assert below[0, 1].tolist() == [1.5, np.inf] and below[1, 0].tolist() == [-np.inf, 4] and below[3, 1].tolist() == [2, np.inf]
    strict = ends("a < b", "t > 4.5")
    assert strict[0, 1, 0] == np.nextafter(1.5, 2) and strict[1, 2].tolist() == [5, np.inf]  # whole numbers
    total = ends("a + 2 * b == t")
    assert total[0, 1].tolist() == [3.75, 3.75] and total[2, 0].tolist() == [1, 1] and np.isinf(total[1]).all()
    # What follows counts as seen: b from a, then t from both.
    chain = ends("if s == 'no': b == 2", "a + b == t")
    assert chain[3, 1].tolist() == [2, 2] and chain[3, 2].tolist() == [4, 4] and np.isinf(chain[1]).all()
    with pytest.raises(ValueError, match=r"rules: leave column 't' no value in row 1 \(t \* 2 == 5\)"):
        ends("t * 2 == 5")
    with pytest.raises(ValueError, match=r"leave column 'a' no value in row 4 \(a <= t, a >= b\)"):
        ends("a <= t", "a >= b")


def test_broken_rows_are_found_and_left_alone() -> None:
    columns = [Continuous("a", "float64"), Continuous("b", "float64")]
    table = np.array([[3.0, 1.0], [1.0, 2.0], [np.nan, 1.0]])
    rules = rules_of(["a <= b"], columns, ["a", "b"])
    values, mask = np.nan_to_num(table), ~np.isnan(table)
    ((found, rows),) = broken_rows(rules, values, mask)
    assert found.text == "a <= b" and rows.tolist() == [0]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        (["a < `b c`", "n > 1", "`b c` < a"], "'a < `b c`' and '`b c` < a' contradict"),
        (["p < 0"], "'p < 0' can hold in no row"),
        (["a + `b c` == 3", "a + `b c` == 4"], "contradict one another"),
        (["g > 'mid'", "g < 'mid'"], "contradict one another"),
    ],
)
def test_contradictions(texts: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=f"^rules: .*{named}"):
        check_feasible(rules_of(texts, COLUMNS, NAMES), COLUMNS)
    check_feasible(rules_of([*texts[:-1], "a < 3 or a > 5"], COLUMNS, NAMES), COLUMNS)


def test_an_equality_conditions_normal_draws() -> None:
    # x given x1 + x2 = 3: mean m + S c (3 - c'm) / c'S c, covariance S - S c c'S / c'S c.
    rng, m, s = np.random.default_rng(0), np.array([0.0, 1.0, -1.0]), np.array([[2.0, 0.6, 0.8], [0.6, 1.0, 0.3], [0.8, 0.3, 1.5]])
    draws = rng.multivariate_normal(m, s, 40_000)
    equality = Rule("", Comparison(((0, 1.0), (1, 1.0)), -3.0, "=="))
    found = repaired([equality], draws, np.ones(3, bool), np.ones(3, bool), np.zeros(3))
    assert np.abs(found[:, 0] + found[:, 1] - 3).max() < 1e-14
    c = np.array([1.0, 1.0, 0.0])
    mean, cov = m + s @ c * (3 - c @ m) / (c @ s @ c), s - np.outer(s @ c, s @ c) / (c @ s @ c)
    error = np.sqrt(np.diag(cov) / len(draws))
    assert (np.abs(found.mean(0) - mean) < 4 * error + 0.01).all()
    assert np.abs(np.cov(found.T) - cov).max() < 0.05


def test_draws_moved_inside_are_the_cut_normal() -> None:
    # Of independent standard normals given x1 - x2 >= 4, at three standard deviations: d = x1 - x2 has mean sqrt 2 h(4 / sqrt 2).
    from scipy.stats import norm

    draws = np.random.default_rng(1).normal(size=(20_000, 2))
    apart = Rule("", Comparison(((0, -1.0), (1, 1.0)), 4.0, "<="))
    found = moved_inside([apart], draws, np.ones(2, bool), np.ones(2, bool))
    assert apart.part.holds(found).all()
    low = 4 / np.sqrt(2)
    expected = np.sqrt(2) * norm.pdf(low) / norm.sf(low)
    assert abs((found[:, 0] - found[:, 1]).mean() - expected) < 0.03
    # What the rule says nothing of, x1 + x2, has the law it had.
    assert abs((found[:, 0] + found[:, 1]).std() - np.sqrt(2)) < 0.03


def test_whole_numbers_still_add_up() -> None:
    draws = np.random.default_rng(2).normal(3, 2, size=(500, 3))
    equality = Rule("", Comparison(((0, 1.0), (1, 1.0), (2, -1.0)), 0.0, "=="))
    found = repaired([equality], draws, np.ones(3, bool), np.ones(3, bool), np.ones(3))
    assert (found == np.rint(found)).all() and (found[:, 0] + found[:, 1] == found[:, 2]).all()


def test_conditions_and_codes() -> None:
    names = ["a", "b"]
    assert codes_and_conditions({"a": -8, "b": ["x", 2]}, names) == ({"a": [-8], "b": ["x", 2]}, {})
    for said, error, message in (
        ({"c": 1}, ValueError, "unknown column 'c'"),
        ({"a": None}, TypeError, "for column 'a'"),
        ({"a": "if b == 1: b == 2"}, ValueError, "a condition without 'if'"),
        ({"a": "b =="}, ValueError, "goes wrong"),
        (["a"], TypeError, "a mapping"),
    ):
        with pytest.raises(error, match=f"^not_applicable: .*{message}"):
            codes_and_conditions(said, names)
