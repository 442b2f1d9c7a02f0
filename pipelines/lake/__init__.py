"""The lake: the Glue catalog of what was delivered, and SQL over it."""
