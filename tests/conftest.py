"""Settings of all tests."""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# A test run says the same thing twice; whoever hunts for new cases takes the other profile.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=3000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

if "HYDRANT_RUNS" not in os.environ:  # what runs of scenarios leave belongs to no test in particular
    os.environ["HYDRANT_RUNS"] = tempfile.mkdtemp(prefix="hydrant-runs-")
    atexit.register(shutil.rmtree, os.environ["HYDRANT_RUNS"], ignore_errors=True)
