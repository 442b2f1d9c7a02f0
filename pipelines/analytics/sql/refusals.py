"""What is refused, and what to use instead: every refusal names the construct and its line. Pure."""

from typing import Any, Final

from sqlglot import exp

from pipelines.analytics.sql.dialect import Step
from pipelines.analytics.sql.expression import Constant, Expression
from pipelines.runtime.errors import ConfigurationError

_PUMP: Final = "write its query as a pump into a stream of its own, and select from that"
_WINDOW: Final = "aggregate in a window: GROUP BY ..., STEP(s.ROWTIME BY INTERVAL '60' SECOND)"
_REFERENCE: Final = "pipelines.analytics.destinations.JoinReference joins reference data from S3 in a Beam pipeline"
_OWN: Final = 'compute it in a Beam pipeline on ScoreRows\' output "ordered", the rows in order'

CLAUSES: Final = {
    "joins": ("A join", _REFERENCE),
    "laterals": ("LATERAL", _PUMP),
    "distinct": ("SELECT DISTINCT", "group by the columns in a window: GROUP BY ..., STEP(s.ROWTIME BY INTERVAL ...)"),
    "order": (
        "ORDER BY without time",
        "sort within a time, ORDER BY FLOOR(s.ROWTIME TO SECOND), ...; rows come in the order of ROWTIME anyway",
    ),
    "limit": ("LIMIT", "leave it out, and take the rows you want where they are read"),
    "offset": ("OFFSET", "leave it out, and take the rows you want where they are read"),
    "qualify": ("QUALIFY", "select from a stream that has the aggregate, with WHERE"),
    "with_": ("WITH", _PUMP),
    "match": ("MATCH_RECOGNIZE", _OWN),
    "hint": ("A hint", "leave it out"),
    "sample": ("TABLESAMPLE", "leave it out"),
}
"""Clauses of a SELECT by sqlglot's names: what they are called, and what to do instead."""

WORDS: Final = {
    "TOP_K_ITEMS_TUMBLING": (
        "TOP_K_ITEMS_TUMBLING",
        "count in a window, GROUP BY item, STEP(s.ROWTIME BY INTERVAL ...), and take the largest where rows are read",
    ),
    "GROUP_RANK": ("GROUP_RANK", "rank where the rows are read, by ROWTIME and the value"),
    "COUNT_DISTINCT_ITEMS_TUMBLING": (
        "COUNT_DISTINCT_ITEMS_TUMBLING",
        "group by the item in a window, and count those rows in a second pump with the same window",
    ),
    "ANOMALY_DETECTION": ("ANOMALY_DETECTION", "call RANDOM_CUT_FOREST"),
    "LAG": ("LAG", "FIRST_VALUE(column) OVER (PARTITION BY ... ROWS n PRECEDING) is the value n rows before"),
    "DISTINCT": ("DISTINCT", CLAUSES["distinct"][1]),
    "FUNCTION": ("CREATE FUNCTION", "write the expression out, or map the rows in a Beam pipeline"),
    "VIEW": ("CREATE VIEW", _PUMP),
    "TABLE": ("A table", "create a STREAM; " + _REFERENCE),
    "STDDEV_POP": ("STDDEV_POP", "sum x and x * x, and count, in the window; compute it from them in a second pump"),
    "STDDEV_SAMP": ("STDDEV_SAMP", "sum x and x * x, and count, in the window; compute it from them in a second pump"),
    "STDDEV": ("STDDEV", "sum x and x * x, and count, in the window; compute it from them in a second pump"),
}
"""Functions and key words: what they are called, and what to do instead."""

NODES: Final = {
    exp.Subquery: ("A subquery", _PUMP),
    exp.Select: ("A subquery", _PUMP),
    exp.Exists: ("EXISTS", _PUMP),
    exp.SetOperation: ("A set operation such as UNION", "write two pumps into one stream"),
    exp.Distinct: WORDS["DISTINCT"],
    exp.Lag: WORDS["LAG"],
    exp.AggFunc: ("This aggregate", "use COUNT, SUM, AVG, MIN, MAX, FIRST_VALUE or LAST_VALUE"),
    exp.Window: ("OVER in this place", _PUMP),
}
"""Nodes of sqlglot's tree; the first that fits counts."""

_THIS: Final = ("this",)
_BOTH: Final = ("this", "expression")
_READ: Final[dict[Any, tuple[str, ...]]] = {
    **dict.fromkeys((exp.Paren, exp.Not, exp.Upper, exp.Lower, exp.Trim, exp.Length, exp.Neg, exp.Abs), _THIS),
    **dict.fromkeys((exp.Boolean, exp.Star, exp.TableAlias, exp.Null), _THIS),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe, exp.Like, exp.And, exp.Or, exp.Is), _BOTH),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, Step), _BOTH),
    **dict.fromkeys((exp.Sum, exp.Avg, exp.Min, exp.Max, exp.FirstValue, exp.LastValue, exp.Count), _THIS),
    exp.Alias: ("this", "alias"),
    exp.Between: ("this", "low", "high"),
    exp.Case: ("this", "ifs", "default"),
    exp.Cast: ("this", "to"),
    exp.Coalesce: ("this", "expressions"),
    exp.Column: ("this", "table"),
    exp.ColumnDef: ("this", "kind"),
    exp.Floor: ("this", "to", "decimals"),
    exp.In: ("this", "expressions", "query", "unnest", "field"),
    exp.Literal: ("this", "is_string"),
    exp.Order: ("this", "expressions"),
    exp.Ordered: ("this", "desc", "nulls_first"),
    exp.Window: ("this", "partition_by", "order", "spec", "over"),
    exp.WindowSpec: ("kind", "start", "start_side", "end", "end_side"),
}
"""The parts of a node that the rest of this room reads, or refuses in words of its own."""
_SAYS_NOTHING: Final = ("negate", "big_int", "safe", "typed", "is_nvl")
"""Parts by which sqlglot tells dialects apart; `compile.compiled` reads `negate` of every node."""

_PARTS: Final[dict[tuple[Any, str], tuple[str, str]]] = {
    (exp.Trim, "position"): ("TRIM of one end, or of characters,", "write TRIM(text): it takes blanks from both ends"),
    (exp.Trim, "expression"): ("TRIM of characters", "write TRIM(text): it takes blanks from both ends"),
    (exp.Between, "symmetric"): ("BETWEEN SYMMETRIC", "write the lower bound first: x BETWEEN 1 AND 5"),
    (exp.Column, "db"): ("A column's name of more than two parts", "write stream.column"),
    (exp.ColumnDef, "constraints"): ("A constraint of a column", "leave it out; a pump's WHERE leaves rows out"),
    (exp.Star, "except_"): ("* without some of the columns", "name the columns"),
    (exp.TableAlias, "columns"): ("Names of columns behind a stream's", "write AS behind each in the select list"),
    (exp.Window, "alias"): (
        "A window made of another",
        "write PARTITION BY and the length in one window: WINDOW W AS (PARTITION BY ... ROWS 10 PRECEDING)",
    ),
    (exp.WindowSpec, "exclude"): (
        "EXCLUDE in a window",
        "leave it out, and take the row's value off: SUM(x) OVER w - x",
    ),
}
"""Parts that are refused: what they are called, and what to write instead."""


def require_read(node: exp.Expr) -> None:
    """Refuses a node with a part that nothing reads, since what it says would be left out in silence.

    Raises:
        ConfigurationError: there is one, or no node of this kind has a place here.
    """
    read = _READ.get(type(node))
    if read is None:
        raise unsupported_node(node)
    for name, value in node.args.items():
        if value and name not in read and name not in _SAYS_NOTHING:
            plain = f"{name.rstrip('_').upper()} of {node.key.upper()}"
            raise unsupported(node, *_PARTS.get((type(node), name), (plain, "leave it out")))


def require_key(node: exp.Expr, value: Expression, clause: str) -> None:
    """Refuses a constant as a key: it parts and sorts nothing, and a column's number, as SQL-92 had it, is none here.

    Raises:
        ConfigurationError: it is one.
    """
    if isinstance(value, Constant):
        raise wrong(node, f"`{node.sql()}` in {clause} is the same for every row.", "name a column, or leave it out")


def line_of(node: exp.Expr | None) -> int | None:
    """The line on which a construct stands: that of its first name, or else of the nearest around it."""
    while node is not None:
        lines = [found.meta["line"] for found in node.walk() if "line" in found.meta]
        if lines:
            return min(lines)
        node = node.parent
    return None


def wrong(node: exp.Expr | None, message: str, fix: str) -> ConfigurationError:
    """The error for what is wrong with a construct.

    Args:
        node: it; its line comes first.
        message: a sentence.
        fix: what mends it.
    """
    line = line_of(node)
    return ConfigurationError(f"Line {line}: {message}" if line else message, fix=fix)


def unsupported(node: exp.Expr | None, what: str, fix: str) -> ConfigurationError:
    """The error for a construct that has no place here."""
    return wrong(node, f"{what} is not supported.", fix)


def unsupported_node(node: exp.Expr) -> ConfigurationError:
    """The error for a node that no expression is made of."""
    name = node.sql_name() if isinstance(node, exp.Func) else ""
    name = node.name.upper() if isinstance(node, exp.Anonymous) else name
    if name in WORDS:
        return unsupported(node, *WORDS[name])
    if name.startswith("APPROX"):
        return unsupported(node, name, "COUNT(*) in a window grouped by the item, then COUNT(*) of those rows")
    for kind, refusal in NODES.items():
        if isinstance(node, kind):
            what, fix = refusal
            return unsupported(node, name if name and what.startswith("This") else what, fix)
    if isinstance(node, exp.Anonymous):
        fix = "write it with +, -, *, /, MOD, CASE, COALESCE, CAST, FLOOR, STEP, ABS, UPPER, LOWER, TRIM or CHAR_LENGTH"
        return unsupported(node, f"The function {name}", fix)
    fix = "docs/from-kda-sql.md lists what is, and what to use instead"
    return unsupported(node, f"{name or node.key.upper()}, in `{node.sql()}`,", fix)
