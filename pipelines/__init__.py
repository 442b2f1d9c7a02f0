"""hydrant: AWS's streaming data plane as Apache Beam pipelines.

The rooms, in the order in which a record walks through them: `kinesis`, `firehose`, `lake`;
`runtime` holds what each of them needs and `cli` is the `hydrant` command.
"""
