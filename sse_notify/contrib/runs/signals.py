"""What a project may hear of runs."""

from __future__ import annotations

from django.dispatch import Signal

#: A run was interrupted: its process shut down before it was done. Sent once for each run, by a
#: process that goes on, as soon as one looks. ``run`` is the run; ``run.text()`` is what it wrote.
#: A receiver may start it again: ``Run.start(more(run.text()), user=run.user, key=run.key)``.
run_interrupted = Signal()
