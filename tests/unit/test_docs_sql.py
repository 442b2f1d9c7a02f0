"""docs/from-kda-sql.md: each query beside a transform is planned onto that transform."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from sqlglot import exp

from pipelines.analytics.explanation import ExplainedForests
from pipelines.analytics.forests import Forests
from pipelines.analytics.hotspots import HotspotOptions, Hotspots
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.sql.application import parse_application
from pipelines.analytics.sql.functions import plan_function
from pipelines.analytics.sql.parse import PumpStatement, parse
from pipelines.analytics.sql.query import Query, Score
from pipelines.analytics.sql.select import plan_select
from pipelines.analytics.state import Unscored
from pipelines.analytics.windows import Sliding, SlidingRows, Stagger, Tumbling

PAGE: Final = Path(__file__).parents[2] / "docs/from-kda-sql.md"
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
PAIRS: Final = [(sql, code) for (kind, sql), (other, code) in pairwise(BLOCKS) if (kind, other) == ("sql", "python")][
    1:
]
NAMES: Final = {
    each.__name__: each
    for each in (
        ExplainedForests, Forests, ForestOptions, HotspotOptions, Hotspots, Sliding, SlidingRows, Stagger, Tumbling,
    )
}  # fmt: skip


def application():
    return parse_application(json.loads(next(block for kind, block in BLOCKS if kind == "json")))


def scores(select: str) -> list[Score]:
    """The transforms that a query becomes."""
    (pump,) = parse(f'CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT" {select}')
    assert isinstance(pump, PumpStatement)

    def stream(node: exp.Expr, name: str) -> Query:
        return Query(name, (), application().fields, (), is_source=True)

    return [stage for stage in plan_select(pump.select, stream, plan_function).stages if isinstance(stage, Score)]


@pytest.mark.parametrize(("select", "transform"), PAIRS)
def test_a_query_becomes_the_transform_beside_it(select: str, transform: str) -> None:
    meant = eval(transform, dict(NAMES))
    *before, found = scores(select)
    if isinstance(meant, Tumbling | Stagger | Sliding | SlidingRows):
        assert (before, found.windowing.window, found.scoring) == ([], meant, Unscored())
        return
    assert found.windowing.window == SlidingRows(0)
    assert type(found.scoring) is type(meant)
    options = found.scoring.options
    assert len(options.columns) == len(meant.options.columns)
    assert replace(options, columns=meant.options.columns) == meant.options
    assert [score.windowing.window for score in before] == [Tumbling(60_000)] * ("GROUP BY" in select)


def test_all_queries_of_the_page_are_beside_a_transform() -> None:
    assert len(PAIRS) == 10
    assert len([kind for kind, _ in BLOCKS if kind == "sql"]) == len(PAIRS) + 1
