"""The scenario `flights`: real flights from Kinesis through a delivery stream to Parquet on S3 and SQL."""
