"""The benchmarks behind `hydrant bench`. Each contestant is a process of its own, all of them in one run."""
