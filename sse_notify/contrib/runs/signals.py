"""What a project may hear of runs."""

from __future__ import annotations

from django.dispatch import Signal

#: A run has ended, in whatever state. Sent once for each run, after the commit, by the process that
#: ended it: often in the thread that stores what all its runs say, so be quick. ``run`` is the run;
#: ``run.text()`` is all that it wrote.
run_ended = Signal()

#: A run was interrupted: its process shut down before it was done. Sent once for each run, by a
#: process that goes on, as soon as one looks. ``run`` is the run; ``run.text()`` is what it wrote.
#: A receiver may start it again: ``Run.start(more(run.text()), user=run.user, key=run.key)``.
run_interrupted = Signal()
