"""Tests of the demo site: ``test_site`` from outside, as a process; ``inside``, with the demo's own settings in the test process."""
