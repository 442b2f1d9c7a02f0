"""The scenario `weblogs`: a real Apache log to Parquet and to compressed JSON, without the visitors' personal data."""
