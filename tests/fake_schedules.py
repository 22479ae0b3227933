"""A Temporal server in memory, with the rules that the real one has for Schedules.

Duplicate creates and missing schedules are errors, an update with a stale token is
dropped without a word, the mark in the memo stays, the list cuts specs at ten calendars
and may lag behind, and a workflow id runs once at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from schedule_values import NOW
from temporalio.api.common.v1 import GrpcStatus, Memo, Payloads, WorkflowExecution
from temporalio.api.errordetails.v1 import WorkflowNotReadyFailure
from temporalio.api.history.v1 import (
    History,
    HistoryEvent,
    WorkflowExecutionStartedEventAttributes,
)
from temporalio.api.schedule.v1 import (
    BackfillRequest,
    ScheduleActionResult,
    ScheduleInfo,
    ScheduleListEntry,
    ScheduleListInfo,
)
from temporalio.api.schedule.v1 import Schedule as ScheduleMessage
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    CreateScheduleRequest,
    CreateScheduleResponse,
    DeleteScheduleRequest,
    DeleteScheduleResponse,
    DescribeScheduleRequest,
    DescribeScheduleResponse,
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    PatchScheduleRequest,
    PatchScheduleResponse,
    PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse,
    RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskCompletedResponse,
    UpdateScheduleRequest,
    UpdateScheduleResponse,
)
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.converter import DataConverter
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from planner.temporal.client import Server
from planner.temporal.sync_state import lock_id

LISTED_CALENDARS = 10


class Killed(BaseException):
    """The process that sends requests ends here, as by SIGKILL."""


@dataclass
class Stored:
    """A schedule on the fake server."""

    message: ScheduleMessage
    memo: Memo
    token: int = 1
    request_id: str = ""
    actions: list[ScheduleActionResult] = field(default_factory=list)

    def copy(self) -> Stored:
        """Return a snapshot of it."""
        message = ScheduleMessage()
        message.CopyFrom(self.message)
        return Stored(message, self.memo, self.token, self.request_id, list(self.actions))


class FakeTemporal:
    """The server's state and its methods; it stands in for client and service alike.

    Attributes:
        schedules: What is there, by id.
        requests: The name of every request so far, in order.
        before: Called with each request's name before it is served: raises to fail it.
        lag: So many of the newest writes the list doesn't show yet.
        now: What its clock shows.
    """

    namespace = "default"
    identity = "test"

    def __init__(self) -> None:
        self.schedules: dict[str, Stored] = {}
        self.requests: list[str] = []
        self.before: Callable[[str, Any], None] = lambda name, request: None
        self.lag = 0
        self.now = NOW
        self.started: dict[str, datetime] = {}
        self.runs: dict[str, str] = {}
        self.inputs: dict[str, Payloads] = {}
        self.queues: dict[str, str] = {}
        self.polled: set[str] = set()
        self.results: dict[str, Payloads] = {}
        self.data_converter = DataConverter.default
        self.workflow_service = self
        self.service_client = SimpleNamespace(config=SimpleNamespace(target_host="fake:7233"))
        self._past: list[dict[str, Stored]] = [{}]
        self._count = 0

    def server(self) -> Server:
        """Return the planner's view of this server."""
        return Server(self)  # type: ignore[arg-type]  # as much of a client as is needed

    @property
    def writes(self) -> list[str]:
        """The names of the requests that write."""
        reading = (
            "list_schedules",
            "describe_schedule",
            "describe_workflow",
            "describe_execution",
            "query_keeper",
            "read_clock",
            "read_last_applied",
            "poll_task",
        )
        return [name for name in self.requests if name not in reading]

    def catch_up(self) -> None:
        """Let the list show everything."""
        self.lag = 0
        self._past = [self._snapshot()]

    # Schedules ----------------------------------------------------------------------

    async def create_schedule(
        self, req: CreateScheduleRequest, **_: object
    ) -> CreateScheduleResponse:
        """Make a schedule; again with the same request id is the same making."""
        self._serve("create_schedule", req)
        there = self.schedules.get(req.schedule_id)
        if there and there.request_id != req.request_id:
            raise refused(RPCStatusCode.ALREADY_EXISTS, "schedule is already registered")
        if not there:
            stored = Stored(ScheduleMessage(), req.memo, request_id=req.request_id)
            stored.message.CopyFrom(req.schedule)
            self.schedules[req.schedule_id] = stored
            self._backfill(stored, req.schedule_id, req.initial_patch.backfill_request)
        self._written()
        return CreateScheduleResponse(conflict_token=b"1")

    async def update_schedule(
        self, req: UpdateScheduleRequest, **_: object
    ) -> UpdateScheduleResponse:
        """Replace a schedule; a stale token drops that, and nobody is told."""
        self._serve("update_schedule", req)
        stored = self._find(req.schedule_id)
        if not req.conflict_token or req.conflict_token == str(stored.token).encode():
            stored.message.CopyFrom(req.schedule)
            stored.token += 1
        self._written()
        return UpdateScheduleResponse()

    async def patch_schedule(self, req: PatchScheduleRequest, **_: object) -> PatchScheduleResponse:
        """Pause, resume, or fire for past times."""
        self._serve("patch_schedule", req)
        stored = self._find(req.schedule_id)
        if req.patch.pause or req.patch.unpause:
            stored.message.state.paused = bool(req.patch.pause)
            stored.message.state.notes = req.patch.pause or req.patch.unpause
        self._backfill(stored, req.schedule_id, req.patch.backfill_request)
        stored.token += 1
        self._written()
        return PatchScheduleResponse()

    async def delete_schedule(
        self, req: DeleteScheduleRequest, **_: object
    ) -> DeleteScheduleResponse:
        """Delete a schedule that is there."""
        self._serve("delete_schedule", req)
        self._find(req.schedule_id)
        del self.schedules[req.schedule_id]
        self._written()
        return DeleteScheduleResponse()

    async def describe_schedule(
        self, req: DescribeScheduleRequest, **_: object
    ) -> DescribeScheduleResponse:
        """Return a schedule as it is at this moment."""
        self._serve("describe_schedule", req)
        stored = self._find(req.schedule_id).copy()
        return DescribeScheduleResponse(
            schedule=stored.message,
            info=ScheduleInfo(
                future_action_times=self._upcoming(), recent_actions=stored.actions[-10:]
            ),
            memo=stored.memo,
            conflict_token=str(stored.token).encode(),
        )

    async def list_schedules(self, req: ListSchedulesRequest, **_: object) -> ListSchedulesResponse:
        """Return two schedules a page, as they were *lag* writes ago."""
        self._serve("list_schedules", req)
        shown = self._past[max(0, len(self._past) - 1 - self.lag)]
        ids = sorted(shown)
        first = int(req.next_page_token or b"0")
        entries = [self._entry(id, shown[id]) for id in ids[first : first + 2]]
        following = str(first + 2).encode() if first + 2 < len(ids) else b""
        return ListSchedulesResponse(schedules=entries, next_page_token=following)

    def _entry(self, id: str, stored: Stored) -> ScheduleListEntry:
        info = ScheduleListInfo(
            spec=stored.message.spec,
            notes=stored.message.state.notes,
            paused=stored.message.state.paused,
            future_action_times=self._upcoming(),
            recent_actions=stored.actions[-5:],
        )
        del info.spec.structured_calendar[LISTED_CALENDARS:]
        return ScheduleListEntry(schedule_id=id, memo=stored.memo, info=info)

    def _backfill(self, stored: Stored, id: str, wanted: Any) -> None:
        for request in wanted:
            assert isinstance(request, BackfillRequest)
            nominal = request.start_time.ToDatetime(tzinfo=UTC)
            action = ScheduleActionResult()
            action.start_workflow_result.workflow_id = f"{id}-{nominal:%Y-%m-%dT%H:%M:%SZ}"
            stored.actions.append(action)

    def _find(self, id: str) -> Stored:
        if id not in self.schedules:
            raise refused(RPCStatusCode.NOT_FOUND, "schedule not found")
        return self.schedules[id]

    def _serve(self, name: str, request: object) -> None:
        self.requests.append(name)
        self.before(name, request)

    def _written(self) -> None:
        self._past.append(self._snapshot())

    def _snapshot(self) -> dict[str, Stored]:
        return {id: stored.copy() for id, stored in self.schedules.items()}

    def _upcoming(self) -> list[Timestamp]:
        soon = Timestamp()
        soon.FromDatetime(datetime(NOW.year + 1, 1, 1, tzinfo=UTC))
        return [soon]

    # Workflows ----------------------------------------------------------------------

    async def start_workflow(
        self,
        name: str,
        *args: object,
        id: str,
        task_queue: str = "",
        id_conflict_policy: object = None,
        **_: object,
    ) -> Any:
        """Start a workflow: instead of one with its id that runs, where that is asked for."""
        self._serve("write_last_applied" if args else "start_workflow", id)
        if id in self.runs and id_conflict_policy != WorkflowIDConflictPolicy.TERMINATE_EXISTING:
            raise WorkflowAlreadyStartedError(id, name, run_id=self.runs[id])
        payloads = Payloads(payloads=await self.data_converter.encode(args))
        return SimpleNamespace(id=id, result_run_id=self._begin(id, task_queue, payloads))

    def _begin(self, id: str, queue: str, payloads: Payloads) -> str:
        """Begin a run, the current one of its workflow, and return its id."""
        self._count += 1
        self.runs[id] = f"run-{self._count}"
        self.started[id], self.inputs[id], self.queues[id] = self.now, payloads, queue
        return self.runs[id]

    async def poll_workflow_task_queue(
        self, req: PollWorkflowTaskQueueRequest, **_: object
    ) -> PollWorkflowTaskQueueResponse:
        """Hand out the task that a run began with, once: whoever is killed with it has lost it."""
        self._serve("poll_task", req)
        for id, run in self.runs.items():
            if self.queues.get(id) == req.task_queue.name and run not in self.polled:
                self.polled.add(run)
                execution = WorkflowExecution(workflow_id=id, run_id=run)
                return PollWorkflowTaskQueueResponse(
                    task_token=run.encode(), workflow_execution=execution
                )
        return PollWorkflowTaskQueueResponse()

    async def respond_workflow_task_completed(
        self, req: RespondWorkflowTaskCompletedRequest, **_: object
    ) -> RespondWorkflowTaskCompletedResponse:
        """Complete the run of a task, or continue it as new."""
        (command,) = req.commands
        anew = command.continue_as_new_workflow_execution_command_attributes
        is_continued = command.HasField("continue_as_new_workflow_execution_command_attributes")
        self._serve("write_last_applied" if is_continued else "complete_workflow", req)
        id = next((id for id, run in self.runs.items() if run.encode() == req.task_token), None)
        if id is None:
            raise refused(RPCStatusCode.NOT_FOUND, "workflow execution already completed")
        if is_continued:
            self._begin(id, anew.task_queue.name, anew.input)
        else:
            del self.runs[id]
            self.results[id] = command.complete_workflow_execution_command_attributes.result
        return RespondWorkflowTaskCompletedResponse()

    async def get_workflow_execution_history(
        self, req: GetWorkflowExecutionHistoryRequest, **_: object
    ) -> GetWorkflowExecutionHistoryResponse:
        """Return the first event of a workflow: with what input it was started."""
        id = req.execution.workflow_id
        self._serve("read_clock" if id.startswith(lock_id("")) else "read_last_applied", req)
        if id not in self.runs:
            raise refused(RPCStatusCode.NOT_FOUND, "workflow not found")
        self.inputs.setdefault(id, Payloads())  # another sync's lock, that a test put there
        started = WorkflowExecutionStartedEventAttributes(
            input=self.inputs[id],
            original_execution_run_id=self.runs[id],
            task_queue=TaskQueue(name=self.queues.get(id, "")),
        )
        event = HistoryEvent(workflow_execution_started_event_attributes=started)
        event.event_time.FromDatetime(self.started.get(id, NOW))
        return GetWorkflowExecutionHistoryResponse(history=History(events=[event]))

    async def describe_workflow_execution(
        self, req: DescribeWorkflowExecutionRequest, **_: object
    ) -> DescribeWorkflowExecutionResponse:
        """Return nothing of a boost that was started, an error for any other."""
        self._serve("describe_execution", req)
        begun = {
            action.start_workflow_result.workflow_id
            for stored in self.schedules.values()
            for action in stored.actions
        }
        if req.execution.workflow_id not in begun:
            raise refused(RPCStatusCode.NOT_FOUND, "workflow not found")
        return DescribeWorkflowExecutionResponse()

    async def list_workflows(self, query: str, **_: object) -> AsyncIterator[Any]:
        """List no keeper: none runs here."""
        assert "CapacityKeeper" in query
        return
        yield

    def get_workflow_handle(self, id: str, *, run_id: str | None = None) -> FakeHandle:
        """Return a handle of a workflow, of one run or whichever is current."""
        return FakeHandle(self, id, run_id)


@dataclass
class FakeHandle:
    """A handle of a workflow on the fake server."""

    server: FakeTemporal
    id: str
    run_id: str | None

    def _is_current(self) -> bool:
        run = self.server.runs.get(self.id)
        return run is not None and self.run_id in (None, run)

    async def describe(self, **_: object) -> Any:
        """Return its status and how long its history is."""
        self.server._serve("describe_workflow", self.id)
        if not self._is_current() and self.run_id is None:
            raise refused(RPCStatusCode.NOT_FOUND, "workflow not found")
        running = self._is_current()
        status = WorkflowExecutionStatus.RUNNING if running else WorkflowExecutionStatus.TERMINATED
        return SimpleNamespace(status=status, history_length=2)

    async def query(self, name: str, **_: object) -> Any:
        """Fail: there are no keepers here."""
        self.server._serve("query_keeper", self.id)
        raise refused(RPCStatusCode.NOT_FOUND, "workflow not found")

    async def signal(self, name: str, **_: object) -> None:
        """Signal it, if it runs."""
        if not self._is_current():
            raise refused(RPCStatusCode.NOT_FOUND, "workflow execution already completed")

    async def terminate(self, reason: str, **_: object) -> None:
        """End it, if it runs."""
        self.server._serve("terminate_workflow", self.id)
        if not self._is_current():
            raise refused(RPCStatusCode.NOT_FOUND, "workflow execution already completed")
        del self.server.runs[self.id]


def refused(status: RPCStatusCode, message: str) -> RPCError:
    """Return the error that the SDK raises for a server's refusal."""
    return RPCError(message, status, b"")


def not_ready() -> RPCError:
    """Return the error of a describe while the schedule's own workflow waits for another try."""
    message = "Unable to query workflow due to Workflow Task in failed state."
    status = GrpcStatus(code=RPCStatusCode.FAILED_PRECONDITION, message=message)
    status.details.add().Pack(WorkflowNotReadyFailure())
    return RPCError(message, RPCStatusCode.FAILED_PRECONDITION, status.SerializeToString())
