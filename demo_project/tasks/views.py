"""The user's jobs: start them, watch them, download their results."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from demo_project.accounts.people import signed_in
from demo_project.tasks.forms import JobForm
from demo_project.tasks.models import Job, Kind, State, progress_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest

#: Jobs that one user may have waiting or running, and that the page shows; older ones are dropped.
AT_ONCE, SHOWN = 8, 12

_FILES = {Kind.SURVEY: ("text/csv; charset=utf-8", "csv"), Kind.PICTURE: ("image/png", "png")}


@require_GET
@login_required
def jobs(request: HttpRequest) -> HttpResponse:
    """Show the user's jobs, and the form for new ones."""
    user = signed_in(request.user)
    return render(request, "demo/tasks.html", {"jobs": _jobs(user), "form": JobForm()})


@require_GET
@login_required
def states(request: HttpRequest) -> HttpResponse:
    """Return the jobs. The page fetches them when its stream opens or a job begins or ends."""
    return JsonResponse({"jobs": _jobs(signed_in(request.user))})


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Create jobs. This only writes rows: a worker runs them."""
    user = signed_in(request.user)
    form = JobForm(request.POST)
    if not form.is_valid():
        return render(
            request,
            "demo/tasks.html",
            {"jobs": _jobs(user), "form": form},
            status=HTTPStatus.BAD_REQUEST,
        )
    room = AT_ONCE - user.jobs.filter(state__in=(State.WAITING, State.RUNNING)).count()
    number = form.cleaned_data["number"]
    if number > room:
        messages.warning(request, _("You have enough going on: wait for one to end, or cancel it."))
    for _number in range(min(number, room)):
        Job.objects.create(
            owner=user, kind=form.cleaned_data["kind"], package=form.cleaned_data["package"]
        )
    shown = user.jobs.values_list("pk", flat=True)[:SHOWN]
    user.jobs.exclude(pk__in=list(shown)).exclude(state=State.RUNNING).delete()
    return redirect("tasks:list")


@require_POST
@login_required
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """End a waiting job. A job that has begun is cancelled at ``sse_notify:cancel``."""
    signed_in(request.user).jobs.filter(pk=pk, state=State.WAITING).update(state=State.CANCELLED)
    return redirect("tasks:list")


@require_GET
@login_required
def result(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the result of a job as a file, to its owner."""
    job = get_object_or_404(Job, pk=pk, owner=signed_in(request.user), state=State.DONE)
    content_type, ending = _FILES[Kind(job.kind)]
    name = f"{job.package}-{job.kind}-{job.pk}.{ending}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(bytes(job.result or b""), content_type=content_type, headers=headers)


def _jobs(user: User) -> list[dict[str, Any]]:
    shown = list(user.jobs.defer("result")[:SHOWN])
    progress = progress_of(shown)
    return [job.as_dict(progress.get(job.key, {})) for job in shown]
