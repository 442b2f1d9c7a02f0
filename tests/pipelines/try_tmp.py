import sys, apache_beam as beam
from pipelines.runtime import errors
from pipelines.runtime.launch import run_pipeline, _Waiter
import pipelines.runtime.launch as launch
from pipelines.runtime.options import HydrantOptions
class Raise(beam.DoFn):
    def __init__(self, error, where="process"): self.error, self.where = error, where
    def setup(self):
        if self.where == "setup": raise self.error
    def process(self, _):
        if self.where == "process": raise self.error
        yield 1
    def finish_bundle(self):
        if self.where == "finish": raise self.error
orig = launch._cause
def spy(reason):
    print("REASON", repr(reason)[-1500:]); return orig(reason)
launch._cause = spy
def go(e, w="process"):
    try:
        run_pipeline(lambda p: p | beam.Create([1]) | beam.ParDo(Raise(e, w)), HydrantOptions.for_runner("prism"))
    except Exception as x: print("GOT", type(x), repr(str(x)))
if __name__ == "__main__":
    import try_tmp as t
    launch._cause = spy
    t.go(errors.NotFoundError("The stream flights does not exist.", fix="`hydrant list`"))
    t.go(ValueError("odd\nthing"))
    t.go(errors.ConfigurationError("kinesis X: Missing\nUnknown parameter: a", fix="mend it"), "setup")
    t.go(errors.EndpointDownError("No fix here."), "finish")
