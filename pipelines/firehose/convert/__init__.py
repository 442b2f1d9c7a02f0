"""Record format conversion: JSON records to the typed rows of a Glue table (A5)."""

from pipelines.firehose.convert.converter import ConversionFailure, Converted, RecordConverter

__all__ = ["ConversionFailure", "Converted", "RecordConverter"]
