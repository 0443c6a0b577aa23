"""The page with one's jobs, starting them, and what came of them."""

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
    """Show one's jobs, and the form for new ones."""
    user = signed_in(request.user)
    return render(request, "demo/tasks.html", {"jobs": _jobs(user), "form": JobForm()})


@require_GET
@login_required
def states(request: HttpRequest) -> HttpResponse:
    """Answer with the same jobs: what the page asks for when its stream opens, and when one begins or ends."""
    return JsonResponse({"jobs": _jobs(signed_in(request.user))})


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Have jobs done. All that happens here is that rows are written: a worker takes them."""
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
    """End a job that waits. Work that has begun is cancelled through its progress, at ``sse_notify:cancel``."""
    signed_in(request.user).jobs.filter(pk=pk, state=State.WAITING).update(state=State.CANCELLED)
    return redirect("tasks:list")


@require_GET
@login_required
def result(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer with the file that came of a job, to its owner."""
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
