"""The SQL of Kinesis Data Analytics (C5 to C14), planned onto the room's own transforms."""
