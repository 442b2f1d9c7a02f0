"""A model of Kinesis Data Streams: a pure core on an injected clock (spec section B)."""
