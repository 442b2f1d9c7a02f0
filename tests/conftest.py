"""Settings of all tests."""

import os

from hypothesis import settings

# A test run says the same thing twice; whoever hunts for new cases takes the other profile.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=3000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
