"""`hydrant bench nab`: what goes through the graph on Prism are the scores of the series' scorer, row by row."""

from dataclasses import replace

from pipelines.analytics.series import SeriesScorer
from pipelines.cli.benchmarks.nab_beam import SCORING, ours
from pipelines.cli.benchmarks.nab_corpus import load, shared


def test_the_graph_gives_each_row_of_a_real_series_the_score_that_the_past_alone_gives_it():
    corpus = load(shared())
    shortest = sorted(corpus.series, key=lambda name: len(corpus.series[name].values))[:3]
    few = replace(corpus, series={name: corpus.series[name] for name in shortest})
    found = ours(few)
    assert list(found) == shortest
    for name, series in few.series.items():
        assert list(series.times_ms) == sorted(
            series.times_ms
        )  # else the scorer would need another order than the file's
        scorer = SeriesScorer(SCORING.options)
        expected = [scorer.add(value, time).episode for value, time in zip(series.values, series.times_ms, strict=True)]
        assert found[name] == expected
        assert max(expected) > 3
