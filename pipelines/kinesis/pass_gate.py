"""The Beam adapter of the gate: (stream, encoded `GateItem`) -> the pages that pass, in order."""

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipelines.kinesis.gate import Gate, GateItem


class PassGate(beam.PTransform):
    """PCollection[tuple[str, bytes]], `GateItem.encode` by stream -> PCollection[page]."""

    def expand(self, items: Any) -> Any:
        return (
            items
            | "Typed" >> beam.Map(lambda item: item).with_output_types(tuple[str, bytes])
            | "Pass" >> beam.ParDo(_PassGateFn()).with_output_types(pa.RecordBatch)
        )


class _PassGateFn(beam.DoFn):
    GATE = ReadModifyWriteStateSpec("gate", BytesCoder())
    HELD = BagStateSpec("held", BytesCoder())

    def process(
        self,
        element: tuple[str, bytes],
        timestamp: Any = beam.DoFn.TimestampParam,
        gate_state: Any = beam.DoFn.StateParam(GATE),
        held_state: Any = beam.DoFn.StateParam(HELD),
    ) -> Iterator[TimestampedValue]:
        known = gate_state.read()
        gate = Gate.from_json(known) if known else Gate()
        item = GateItem.decode(element[1])
        gate.lose(item)
        if not gate.may_pass(item) and item.gone is None:
            gate.hold(item)
            held_state.add(element[1])
            gate_state.write(gate.to_json())
            return
        frees = gate.frees(item)
        held = {encoded: GateItem.decode(encoded) for encoded in held_state.read()} if frees else {}
        passed, rest = gate.pass_through(item, list(held.values()))
        if frees:
            held_state.clear()
        still_held = {id(other) for other in rest}
        for encoded, other in [*held.items(), (element[1], item)]:
            if id(other) in still_held:
                held_state.add(encoded)
        gate_state.write(gate.to_json())
        for other in passed:
            if other.page is not None:
                # The item that frees it holds the watermark: what comes out with it is not before it.
                yield TimestampedValue(other.page, max(timestamp, Timestamp(micros=other.timestamp_ms * 1000)))
