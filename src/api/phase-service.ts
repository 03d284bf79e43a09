/** PhaseService: plans, loops and phase runs. Each handler is a table entry; the work is in `mutation` and `read`. */
import { PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import type { MachineView } from '../machine/api.ts';
import type { RunRow } from '../machine/rows.ts';
import type { PhaseRef, VectorClock } from '../machine/types.ts';
import type { RawDefinition, RequestOf, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { must } from '../types/assert.ts';
import {
  ABORT_REASON_LENGTH_MAX,
  CHECKPOINT_LENGTH_MAX,
  NOTE_LENGTH_MAX,
  PARTICIPANTS_MAX,
  PHASE_DURATION_MAX_MS,
  PHASE_RESULT_LENGTH_MAX,
  PLAN_PHASES_MAX,
  SUB_STEP_ID_LENGTH_MAX,
  SUB_STEP_RESULT_LENGTH_MAX,
  SUB_STEPS_PER_REPORT_MAX,
} from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import {
  attemptMessage,
  clockMessage,
  loopBytes,
  loopMessage,
  planBytes,
  planMessage,
  runMessage,
  subStepBytes,
  subStepMessage,
} from './convert.ts';
import { failure } from './errors.ts';
import { mutation } from './mutation.ts';
import { boundedPage, read } from './read.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = PhaseService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof PhaseService>>]: RawUnaryHandler };

export function phaseHandlers(context: ApiContext): Handlers {
  return {
    ...planHandlers(context),
    ...loopHandlers(context),
    ...attemptHandlers(context),
    ...finishHandlers(context),
    ...runReads(context),
  };
}

type PlanHandlers = Pick<Handlers, 'registerPlan' | 'listPlans'>;

function planHandlers(context: ApiContext): PlanHandlers {
  return {
    registerPlan: mutation(context, method.registerPlan, {
      session: 'optional',
      body: ({ plan }, check) => {
        if (plan === undefined) check.report('plan', 'is missing; send a plan with a name and phases');
        const phases = plan?.phases ?? [];
        if (plan !== undefined) check.count('plan.phases', phases.length, 1, PLAN_PHASES_MAX);
        return {
          kind: 'registerPlan',
          plan: plan === undefined ? '' : check.name('plan.name', plan.name),
          phases: phases.slice(0, PLAN_PHASES_MAX).map(({ name, priorMs, slaMs }, i) => ({
            name: check.name(`plan.phases[${i}].name`, name),
            priorMs: check.number(`plan.phases[${i}].prior_ms`, priorMs, 1, PHASE_DURATION_MAX_MS),
            slaMs: check.number(`plan.phases[${i}].sla_ms`, slaMs, 0, PHASE_DURATION_MAX_MS),
          })),
        };
      },
      kind: 'planRegistered',
      answer: (header) => ({ $typeName: 'quorate.v1.RegisterPlanResponse' as const, header }),
    }),
    listPlans: read(context, method.listPlans, {
      params: (request, check) => check.page(request),
      answer: (view, { after, limit }) => {
        const fetch = (rows: number) => view.plans(after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, limit, planMessage, planBytes);
        return ok({ $typeName: 'quorate.v1.ListPlansResponse', plans: messages, nextPageToken });
      },
    }),
  };
}

type LoopHandlers = Pick<Handlers, 'createLoop' | 'listLoops' | 'getLoop'>;

function loopHandlers(context: ApiContext): LoopHandlers {
  return {
    createLoop: mutation(context, method.createLoop, {
      session: 'optional',
      body: ({ loop, plan }, check) => ({
        kind: 'createLoop',
        loop: check.name('loop', loop),
        plan: check.nameOrEmpty('plan', plan),
      }),
      kind: 'loopCreated',
      answer: (header, { g }) => ({ $typeName: 'quorate.v1.CreateLoopResponse' as const, header, g: BigInt(g) }),
    }),
    listLoops: read(context, method.listLoops, {
      params: (request, check) => check.page(request),
      answer: (view, { after, limit }) => {
        const fetch = (rows: number) => view.loops(after, rows);
        const convert = (row: Parameters<typeof loopMessage>[0]) => loopMessage(row, view.runs(row.loop, row.g));
        const { messages, nextPageToken } = boundedPage(fetch, limit, convert, loopBytes);
        return ok({ $typeName: 'quorate.v1.ListLoopsResponse', loops: messages, nextPageToken });
      },
    }),
    getLoop: read(context, method.getLoop, {
      params: ({ loop }, check) => check.name('loop', loop),
      loop: (loop) => loop,
      answer: (view, name) => {
        const row = view.loop(name);
        if (row === null) return err(loopNotFound(name));
        const plan = must(view.plan(row.plan), 'the plan of a loop');
        const loop = loopMessage(row, view.runs(name, row.g));
        return ok({ $typeName: 'quorate.v1.GetLoopResponse', loop, plan: planMessage(plan) });
      },
    }),
  };
}

type AttemptHandlers = Pick<Handlers, 'beginPhase' | 'reportProgress'>;

function attemptHandlers(context: ApiContext): AttemptHandlers {
  return {
    beginPhase: mutation(context, method.beginPhase, {
      session: 'optional',
      body: ({ ref, supersedeAttempt, vectorClock, participants }, check) => ({
        kind: 'beginPhase',
        ref: check.ref(ref),
        supersedeAttempt: check.number('supersede_attempt', supersedeAttempt, 0),
        vectorClock: check.clock(vectorClock),
        // Left out where there are none: a cluster of a lower feature level takes the rest.
        ...(participants.length === 0 ? {} : { participants: participantNames(participants, check) }),
      }),
      kind: 'phaseBegun',
      answer: (header, value) => ({
        $typeName: 'quorate.v1.BeginPhaseResponse' as const,
        header,
        attempt: BigInt(value.attempt),
        fencingToken: BigInt(value.token),
        subStepsDone: BigInt(value.subStepsDone),
        checkpoint: value.checkpoint,
        vectorClock: clockMessage(value.vectorClock),
      }),
    }),
    reportProgress: mutation(context, method.reportProgress, {
      session: 'optional',
      body: (request, check) => {
        const total: number = check.number('total', request.total, 0);
        return {
          kind: 'reportProgress',
          ref: check.ref(request.ref),
          token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
          completed: check.number('completed', request.completed, 0, total),
          total,
          note: check.text('note', request.note, NOTE_LENGTH_MAX),
          subSteps: subStepReports(request.subSteps, check),
          checkpoint:
            request.checkpoint === undefined
              ? null
              : check.text('checkpoint', request.checkpoint, CHECKPOINT_LENGTH_MAX),
          ...historyOf(request, check),
        };
      },
      kind: 'progressReported',
      answer: (header, value) => ({
        $typeName: 'quorate.v1.ReportProgressResponse' as const,
        header,
        subStepsRecorded: BigInt(value.subStepsRecorded),
        subStepsKnown: [...value.subStepsKnown],
      }),
    }),
  };
}

/** Sorted, as the domain wants them; the caller need not sort. */
function participantNames(names: readonly string[], check: Check): readonly string[] {
  check.count('participants', names.length, 0, PARTICIPANTS_MAX);
  const checked = names.slice(0, PARTICIPANTS_MAX).map((name, i) => check.labelNotEmpty(`participants[${i}]`, name));
  if (new Set(checked).size < checked.length) check.report('participants', 'name one twice; send each once');
  return checked.sort();
}

/** What a report tells at feature level 3; nothing of it where it was not sent, so that lower levels take the report. */
function historyOf(
  { checkpoint, checkpointCrc, vectorClock, participant }: RequestOf<typeof method.reportProgress>,
  check: Check,
): { checkpointCrc?: number; vectorClock?: VectorClock; participant?: string } {
  if (checkpointCrc !== undefined && checkpoint === undefined) {
    check.report('checkpoint_crc', 'is set without a checkpoint; send the checkpoint that it is of');
  }
  const clock = check.clock(vectorClock);
  return {
    ...(checkpointCrc === undefined ? {} : { checkpointCrc }),
    ...(clock.length === 0 ? {} : { vectorClock: clock }),
    ...(participant === '' ? {} : { participant: check.label('participant', participant) }),
  };
}

type FinishHandlers = Pick<Handlers, 'commitPhase' | 'abortPhase'>;

function finishHandlers(context: ApiContext): FinishHandlers {
  return {
    commitPhase: mutation(context, method.commitPhase, {
      session: 'optional',
      body: (request, check) => ({
        kind: 'commitPhase',
        ref: check.ref(request.ref),
        token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
        result: check.text('result', request.result, PHASE_RESULT_LENGTH_MAX),
        vectorClock: check.clock(request.vectorClock),
      }),
      kind: 'phaseCommitted',
      answer: (header, { nextG, vectorClock }) => ({
        $typeName: 'quorate.v1.CommitPhaseResponse' as const,
        header,
        nextG: BigInt(nextG),
        vectorClock: clockMessage(vectorClock),
      }),
    }),
    abortPhase: mutation(context, method.abortPhase, {
      session: 'optional',
      body: (request, check) => ({
        kind: 'abortPhase',
        ref: check.ref(request.ref),
        token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
        reason: check.text('reason', request.reason, ABORT_REASON_LENGTH_MAX),
        hardFail: request.hardFail,
        vectorClock: check.clock(request.vectorClock),
      }),
      kind: ['phaseAborted', 'phaseRollingBack'] as const,
      answer: (header, { kind, nextG, vectorClock }) => ({
        $typeName: 'quorate.v1.AbortPhaseResponse' as const,
        header,
        nextG: BigInt(nextG),
        vectorClock: clockMessage(vectorClock),
        rollingBack: kind === 'phaseRollingBack',
      }),
    }),
  };
}

function subStepReports(
  steps: readonly { readonly id: string; readonly result: string }[],
  check: Check,
): { readonly id: string; readonly result: string }[] {
  check.count('sub_steps', steps.length, 0, SUB_STEPS_PER_REPORT_MAX);
  return steps.slice(0, SUB_STEPS_PER_REPORT_MAX).map(({ id, result }, i) => {
    // The paths are only built for what is wrong: a report may hold a thousand steps.
    if (id === '' || id.length > SUB_STEP_ID_LENGTH_MAX) {
      check.textNotEmpty(`sub_steps[${i}].id`, id, SUB_STEP_ID_LENGTH_MAX);
    }
    if (result.length > SUB_STEP_RESULT_LENGTH_MAX) {
      check.text(`sub_steps[${i}].result`, result, SUB_STEP_RESULT_LENGTH_MAX);
    }
    return { id, result };
  });
}

type RunReads = Pick<Handlers, 'getPhaseRun' | 'listSubSteps'>;

function runReads(context: ApiContext): RunReads {
  return {
    getPhaseRun: read(context, method.getPhaseRun, {
      params: ({ ref }, check) => check.ref(ref),
      loop: ({ loop }) => loop,
      answer: (view, ref) => {
        const run = findRun(view, ref);
        if (!run.ok) return run;
        const attempts = view.attempts(ref.loop, ref.g, ref.phase).map(attemptMessage);
        return ok({ $typeName: 'quorate.v1.GetPhaseRunResponse', run: runMessage(run.value, 'full'), attempts });
      },
    }),
    listSubSteps: read(context, method.listSubSteps, {
      params: (request, check) => ({ ref: check.ref(request.ref), page: check.page(request) }),
      loop: ({ ref }) => ref.loop,
      answer: (view, { ref, page }) => {
        const run = findRun(view, ref);
        if (!run.ok) return run;
        const fetch = (rows: number) => view.subSteps(ref.loop, ref.g, ref.phase, page.after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, subStepMessage, subStepBytes);
        return ok({ $typeName: 'quorate.v1.ListSubStepsResponse', subSteps: messages, nextPageToken });
      },
    }),
  };
}

/** The run, or what of its name does not exist. */
export function findRun(view: MachineView, { loop, g, phase }: PhaseRef): Result<RunRow, StatusError> {
  const run = view.run(loop, g, phase);
  if (run !== null) return ok(run);
  const row = view.loop(loop);
  if (row === null) return err(loopNotFound(loop));
  const runs = view.runs(loop, g);
  if (runs.length > 0) {
    const names = runs.map((one) => one.phase).join(', ');
    const message = `the plan of loop ${loop} has no phase ${phase}; it has ${names}`;
    return err(failure('PHASE_UNKNOWN', message, { metadata: { loop, phase } }));
  }
  const open = String(row.g);
  const why = g > row.g ? 'has not begun' : 'is no longer kept';
  const message = `round ${g} of loop ${loop} ${why}; the open round is ${open}`;
  return err(failure('ROUND_NOT_FOUND', message, { metadata: { g: open, loop } }));
}

export function loopNotFound(loop: string): StatusError {
  return failure('LOOP_NOT_FOUND', `there is no loop ${loop}; create it with CreateLoop`, { metadata: { loop } });
}
