"""Kinesis Data Streams in Beam."""
