"""Windowed anomaly scores: Kinesis Data Analytics' functions on event time. `scoring.py` is the graph on one screen."""
