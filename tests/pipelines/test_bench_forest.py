"""`hydrant bench forest` on a few series: what it reports, and that it finds scores that are not the core's."""

import numpy as np
import pytest

from pipelines.analytics.forest import RandomCutForest
from pipelines.cli.benchmarks import forest
from pipelines.runtime.errors import AccountError


def test_the_three_ways_are_told_side_by_side():
    told = []
    found = forest.run(told.append, series=3, rows=300)
    assert (found["series"], found["rows"], found["compared_series"]) == (3, 900, 3)
    assert found["graph_to_bare"] == pytest.approx(found["graph_rows_per_cpu_s"] / found["bare_rows_per_cpu_s"], 0.01)
    assert found["ours_to_bare"] == pytest.approx(found["ours_rows_per_cpu_s"] / found["bare_rows_per_cpu_s"], 0.01)
    assert all(400_000 < size < 1_200_000 for size in found["snapshot_bytes"].values())
    assert len(told) == 3
    (table,) = forest.tables(found)
    assert table.row_count == 7


def test_scores_that_are_not_the_cores_end_it(monkeypatch):
    score_all = RandomCutForest.score_all
    monkeypatch.setattr(
        RandomCutForest, "score_all", lambda self, vectors: [1.01 * one for one in score_all(self, np.array(vectors))]
    )
    with pytest.raises(AccountError, match="those of bare krcf"):
        forest.run(lambda _: None, series=2, rows=300)


def test_a_graph_that_gives_other_scores_than_the_scorer_ends_it(monkeypatch):
    through = forest._through_the_graph

    def otherwise(series, rows):
        spent_s = through(series, rows)
        at_ms, score = forest._last[1]
        forest._last[1] = at_ms, np.nextafter(score, 9.0)
        return spent_s

    monkeypatch.setattr(forest, "_through_the_graph", otherwise)
    with pytest.raises(AccountError, match="to the last bit"):
        forest.run(lambda _: None, series=2, rows=300)
