"""`python -m deploy.aws.rollout` brings a release to an environment on ECS, takes one back, or says what runs.

Workers come first and the file service last, because a worker of release N runs what file services of N−1 and N ask
for, while a file service may ask for what only a new worker can run. A rollback goes the other way. If any part fails,
everything goes back. The exit statuses are in errors.py; docs/decisions/0053 has the reasons.
"""

import argparse
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.aws.clock import Clock
from deploy.aws.deployments import at_rest, has_pause
from deploy.aws.ecs import Answer, Ecs, Report
from deploy.aws.errors import (
    EXIT_DONE,
    EXIT_HALF_WAY,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_ROLLED_BACK,
    AwsRefused,
    AwsUnavailable,
    CredentialsExpired,
    Interrupted,
    Refused,
    RolloutError,
)
from deploy.aws.release import Environment, FileService, Release, WorkerService, check_match, read
from deploy.aws.services import Services, Step
from deploy.aws.smoke_run import SmokeRun
from deploy.aws.task_definition import image_of, settings_of, short, tags_with_release, with_image
from deploy.aws.watch import RUNNING, UNFINISHED

HAND_BACK_MINUTES = 5
"""Longer than the 120 s that ECS leaves a worker between SIGTERM and SIGKILL."""

Connect = Callable[..., Ecs]


class Rollout:
    """One run of one command."""

    def __init__(self, ecs: Ecs, environment: Environment, clock: Clock, report: Report) -> None:
        self._ecs, self._environment, self._clock, self._report = ecs, environment, clock, report
        self._services = Services(ecs, clock, report)
        self._smoke = SmokeRun(ecs, environment.file_service, clock, report)
        self._started: list[Step] = []
        self._registered: list[str] = []
        """Revisions of scheduled tasks that this run has registered."""

    @property
    def has_started(self) -> bool:
        """Whether anything may have been changed."""
        return bool(self._started)

    def deploy(self, release: Release) -> int:
        """Bring the release to every service; return the exit status."""
        environment = self._environment
        check_match(environment, release)
        workers = self._plan(environment.workers, release)
        file_services = self._plan([environment.file_service], release)
        scheduled = self._plan_scheduled(release)
        return self._guarded(lambda: self._deploy(release, workers, file_services, scheduled))

    def _deploy(
        self, release: Release, workers: list[Step], file_services: list[Step], scheduled: Sequence[Answer]
    ) -> int:
        for steps in (workers, file_services):
            self._roll(steps)
        if self._ecs.is_dry_run:
            return self._end_of_dry_run(file_services, scheduled)
        pause = self._problem_of_pause()
        self._drain(workers)
        self._register(scheduled)
        self._report(f"release {release.release} runs everywhere")
        if pause:
            self._report(f"NOT IN ORDER: {pause}")
        return EXIT_HALF_WAY if pause else EXIT_DONE

    def _guarded(self, change: Callable[[], int]) -> int:
        """Make changes; bring everything back when they end early, for whatever reason. Return the exit status."""
        try:
            try:
                return change()
            except CredentialsExpired as error:
                self._report(f"failed: {error}")
                return self._abandon()
            except Exception as error:  # noqa: BLE001 - also a fault of this program must not leave two releases behind
                self._report(f"failed: {words(error)}")
                return self._restore()
        except Interrupted:
            return self._request_restore()
        except Exception as error:  # noqa: BLE001 - the way back itself is at fault; ask for all of it once more
            self._report(f"NOT IN ORDER: {words(error)}")
            self._request_restore()
            return EXIT_HALF_WAY

    def roll_back(self, release: Release) -> int:
        """Return every service that runs the release to what it ran before; return the exit status."""
        environment = self._environment
        check_match(environment, release)
        steps = [self._way_back(one, release) for one in environment.services]
        self._started = [step for step in reversed(steps) if step]  # `_restore` goes through them from the end
        if not self._started:
            self._report(f"release {release.release} runs nowhere")
        status = self._guarded(lambda: self._take_back(release))
        if status == EXIT_INTERRUPTED:
            self._report("scheduled tasks may still start the release: run the same command again")
        return EXIT_HALF_WAY if status == EXIT_ROLLED_BACK else status

    def _take_back(self, release: Release) -> int:
        is_restored = self._restore() == EXIT_ROLLED_BACK
        return EXIT_DONE if self._retire_scheduled(release) and is_restored else EXIT_HALF_WAY

    def status(self) -> int:
        """Report what each service runs; return 0 if each runs one revision, 3 if one is between two."""
        states = [self._state(one) for one in self._environment.services]
        return EXIT_DONE if all(states) else EXIT_HALF_WAY

    def _roll(self, steps: Sequence[Step]) -> None:
        """Start all of these deployments, then wait for each."""
        for step in steps:
            self._started.append(step)
            self._services.start(step)
        if not self._ecs.is_dry_run:
            for step in steps:
                self._services.finish(step, self._smoke)

    def _plan(self, wanted: Sequence[FileService | WorkerService], release: Release) -> list[Step]:
        """Look at all services before the first change."""
        steps = [self._services.plan(one, release.images[one.service], release.release) for one in wanted]
        return [step for step in steps if step]

    def _plan_scheduled(self, release: Release) -> list[Answer]:
        """Return what to register for schedules, which start the latest revision of a family."""
        requests = []
        for scheduled in self._environment.scheduled:
            latest, tags = self._ecs.task_definition(scheduled.family)
            request = with_image(latest, scheduled.container, release.images[scheduled.image_of])
            if settings_of(latest) != request:
                requests.append({**request, "tags": tags_with_release(tags, release.release)})
        return requests

    def _register(self, scheduled: Sequence[Answer]) -> None:
        for request in scheduled:
            arn = self._ecs.register(request)
            if not self._ecs.is_dry_run:
                self._registered.append(arn)
            self._report(f"{request['family']}: registered {short(arn)}")

    def _end_of_dry_run(self, file_services: Sequence[Step], scheduled: Sequence[Answer]) -> int:
        for step in file_services:
            self._report("at the pause before production traffic, the smoke test decides:")
            self._smoke(step.definition)
            self._ecs.answer_hook("(the deployment)", "(its pause)", is_ok=True)
            self._ecs.update_service(step.service, deploymentConfiguration=at_rest(self._environment.file_service))
        self._register(scheduled)
        self._report("dry run: nothing was changed")
        return EXIT_DONE

    def _drain(self, workers: Sequence[Step]) -> None:
        """Let old workers finish; at the deadline, end their protection, so that they hand back what they run."""
        deadline_s = self._clock.now_s() + 60 * self._environment.drain_minutes
        for step in workers:
            self._wait_for_old_workers(step, deadline_s)
            if (old := self._services.old_tasks(step.service, step.definition)) and self._environment.drain_minutes:
                self._report(f"{step.service}: {len(old)} old workers are still busy and hand back what they run")
                self._ecs.end_protection(old)
                self._wait_for_old_workers(step, self._clock.now_s() + 60 * HAND_BACK_MINUTES)
                old = self._services.old_tasks(step.service, step.definition)
            if old:
                self._report(f"{step.service}: {len(old)} old workers end when they become idle")

    def _wait_for_old_workers(self, step: Step, deadline_s: float) -> None:
        def is_enough() -> bool:
            if self._clock.now_s() >= deadline_s:
                return True
            try:
                return not self._services.old_tasks(step.service, step.definition)
            except AwsUnavailable:
                return False

        # The time limit of the deployment itself lies behind the deadline: busy old workers are no failure.
        minutes = (deadline_s - self._clock.now_s()) / 60 + HAND_BACK_MINUTES
        self._services.watch.until_finished(step.service, step.deployment, minutes=minutes, is_enough=is_enough)

    def _retire_scheduled(self, release: Release) -> bool:
        """Deregister the release's revisions of scheduled tasks, so that the ones before are the latest again."""
        try:
            for scheduled in self._environment.scheduled:
                latest, _ = self._ecs.task_definition(scheduled.family)
                if image_of(latest, scheduled.container) == release.images[scheduled.image_of]:
                    self._report(f"{scheduled.family}: retiring {short(latest['taskDefinitionArn'])}")
                    self._ecs.deregister(latest["taskDefinitionArn"])
        except RolloutError as error:
            self._report(f"NOT IN ORDER: {error}")
            return False
        return True

    def _way_back(self, wanted: FileService | WorkerService, release: Release) -> Step | None:
        """Return the step that `_restore` undoes; None when the service does not run the release."""
        image, container = release.images[wanted.service], wanted.container
        running = self._services.running_definition(self._ecs.service(wanted.service))
        if ongoing := self._ecs.deployments(wanted.service, *RUNNING):
            targets = self._ecs.definitions_of_revisions([ongoing[0]["targetServiceRevisionArn"]])
            if targets and self._services.image(targets[0], container) != image:
                raise Refused(f"{wanted.service}: a deployment of another image is running; wait until it has ended")
            return Step(wanted=wanted, before=running)
        if self._services.image(running, container) != image:
            self._report(f"{wanted.service}: does not run release {release.release}; left alone")
            return None
        for deployment in self._ecs.deployments(wanted.service, "SUCCESSFUL"):
            full = self._ecs.deployment(deployment["serviceDeploymentArn"])
            sources = [one["arn"] for one in full.get("sourceServiceRevisions", [])]
            for definition in self._ecs.definitions_of_revisions(sources):
                if self._services.image(definition, container) != image:
                    return Step(wanted=wanted, before=definition, definition=running)
        raise Refused(
            f"{wanted.service}: ECS remembers no deployment with another image. Deploy the release to return to"
        )

    def _restore(self) -> int:
        """Undo what was started, the latest first; return the exit status."""
        problems = self._problems_of_retiring()
        problems += [problem for step in reversed(self._started) if (problem := self._problem_of_restoring(step))]
        # A service that is not in order yet may keep its pause for now; `status` names it when the rest is in order.
        if (pause := self._problem_of_pause()) and not problems:
            problems = [pause]
        for problem in problems:
            self._report(f"NOT IN ORDER: {problem}")
        if problems:
            self._report(
                "Look at these services now: `rollout status`; deploy/runbooks/bad_deployment.md says what to do"
            )
        elif not self._ecs.is_dry_run:
            self._report("every service runs what it ran before")
        return EXIT_HALF_WAY if problems else EXIT_ROLLED_BACK

    def _problem_of_pause(self) -> str:
        """Take the pause off the file service; return what is left to do, "" if nothing is."""
        try:
            self._services.clear_pause(self._environment.file_service)
        except RolloutError as error:
            return f"{error}; {self._left_pause()}"
        return ""

    def _left_pause(self) -> str:
        """Say what a pause does that stays on the service, and the command that removes it."""
        environment, wanted = self._environment, self._environment.file_service
        configuration = json.dumps(at_rest(wanted), separators=(",", ":"))
        return (
            f"{wanted.service} still has the pause for the smoke test. A deployment that is no rollout waits in it and "
            f"is rolled back. Clear it, when no deployment is running: aws ecs update-service "
            f"--cluster {environment.cluster} --service {wanted.service} --region {environment.region} "
            f"--deployment-configuration {shlex.quote(configuration)}"
        )

    def _abandon(self) -> int:
        """Say what was begun; nothing can be undone without credentials. Return the exit status."""
        for step in reversed(self._started):
            self._report(f"NOT IN ORDER: {step.service} is not looked after; it ran {short(step.before)} before")
        return EXIT_HALF_WAY

    def _problem_of_restoring(self, step: Step) -> str:
        try:
            self._services.restore(step)
        except Exception as error:  # noqa: BLE001 - the other services have to go back whatever happens to this one
            reason = words(error).removeprefix(f"{step.service}: ")
            return f"{reason}; {step.service} ran {short(step.before)} before"
        return ""

    def _problems_of_retiring(self) -> list[str]:
        """Deregister what was registered for schedules, which would start it; return what could not be."""
        problems = []
        while self._registered:
            arn = self._registered.pop()
            try:
                self._ecs.deregister(arn)
            except Exception as error:  # noqa: BLE001 - services have to go back all the same
                problems.append(f"{words(error)}; {short(arn)} is still what its schedule starts")
        return problems

    def _request_restore(self) -> int:
        """Ask for everything to go back, and return at once: the signal will be followed by SIGKILL."""
        if not self.has_started or self._ecs.is_dry_run:
            self._report("interrupted before anything was changed")
            return EXIT_INTERRUPTED
        self._report("interrupted; asking ECS to roll back")
        problems = []
        for step in reversed(self._started):
            try:
                self._services.request_restore(step)
                self._report(f"{step.service}: goes back to {short(step.before)}; not waited for")
            except Exception as error:  # noqa: BLE001 - the other services have to go back whatever happens to this one
                problems.append(f"{words(error)}; {step.service} ran {short(step.before)} before")
        problems += self._problems_of_retiring()
        for problem in problems:
            self._report(f"NOT IN ORDER: {problem}")
        self._report("check with `rollout status`")
        return EXIT_HALF_WAY if problems else EXIT_INTERRUPTED

    def _state(self, wanted: FileService | WorkerService) -> bool:
        """Report one service; return whether it runs exactly one revision and no deployment goes on."""
        service = self._ecs.service(wanted.service)
        ongoing = self._ecs.deployments(wanted.service, *RUNNING)
        revisions = service.get("currentServiceRevisions", [])
        definitions = self._ecs.definitions_of_revisions([one["arn"] for one in revisions])
        running = [f"{short(one)} ({self._services.image(one, wanted.container)})" for one in definitions]
        counts = f"{service['runningCount']} of {service['desiredCount']} tasks"
        self._report(f"{wanted.service}: {' and '.join(running) or short(service['taskDefinition'])}, {counts}")
        for one in ongoing:
            full = self._ecs.deployment(one["serviceDeploymentArn"])
            stage = full.get("lifecycleStage", "")
            can_end = "can be rolled back" if one["status"] in UNFINISHED else "is rolling back"
            self._report(
                f"{wanted.service}: deployment {one['status']} {stage}, {can_end} ({one['serviceDeploymentArn']})"
            )
        is_left = not ongoing and has_pause(service)
        if is_left:
            self._report(self._left_pause())
        return not ongoing and not is_left and len(revisions) <= 1


def main(
    arguments: Sequence[str] | None = None,
    *,
    connect: Connect = Ecs.connect,
    clock: Clock | None = None,
    report: Report | None = None,
) -> int:
    """Run one command; return its exit status."""
    given = _parser().parse_args(arguments)
    report, rollout = _lasting(report or _print), None
    with_signals()
    try:
        environment = read(given.environment, Environment)
        is_dry_run = bool(getattr(given, "dry_run", False))
        ecs = connect(environment.region, environment.cluster, report=report, is_dry_run=is_dry_run)
        rollout = Rollout(ecs, environment, clock or Clock(), report)
        if given.command == "status":
            return rollout.status()
        release = read(given.release, Release)
        return rollout.deploy(release) if given.command == "deploy" else rollout.roll_back(release)
    except (Refused, AwsRefused, AwsUnavailable) as error:
        report(f"refused, nothing was changed: {error}")
        return EXIT_REFUSED
    except Interrupted:
        if rollout and rollout.has_started:
            report("interrupted at the very end: look at the services with `rollout status`")
            return EXIT_HALF_WAY
        report("interrupted before anything was changed")
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - Python would leave with 1, which means that everything was rolled back
        report(f"a fault of this program, look at the services with `rollout status`: {words(error)}")
        return EXIT_HALF_WAY


def words(error: Exception) -> str:
    """Say what happened; for what nobody foresaw also its type and where it was raised."""
    if isinstance(error, RolloutError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # What is left in the buffer would fail again when Python ends, and change the exit status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _lasting(report: Report) -> Report:
    """Return a report that ends nothing when nobody reads it any more."""

    def write(line: str) -> None:
        with suppress(OSError):
            report(line)

    return write


def with_signals() -> None:
    """Turn the first SIGINT or SIGTERM into `Interrupted`; ignore what follows, so that the rollback gets requested."""

    def on_signal(_number: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise Interrupted

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rollout",
        description="Bring a release to an environment on ECS, take one back, or say what runs.",
        epilog=f"Exit status: {EXIT_DONE} done; {EXIT_ROLLED_BACK} failed, and everything runs what it ran before; "
        f"{EXIT_REFUSED} refused, nothing was changed; {EXIT_HALF_WAY} a service is not known to be in order; "
        f"{EXIT_INTERRUPTED} interrupted, a rollback was requested.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in (
        ("deploy", "bring a release to all services"),
        ("rollback", "take a release back from all services that run it"),
        ("status", "say what each service runs"),
    ):
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument(
            "--environment", type=Path, required=True, help="JSON from `terraform output -json rollout`"
        )
        if name != "status":
            command.add_argument("--release", type=Path, required=True, help="JSON: the version, and images by digest")
            command.add_argument(
                "--dry-run", action="store_true", help="read, check, and print every call that would follow"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
