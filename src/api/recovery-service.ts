/** RecoveryService: what is interrupted and what becomes of it, agents and their heartbeats, what is watched (D1–D6, V1–V8). */
import { RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { agentsPage, policyIn } from '../machine/detection/view.ts';
import { runKey } from '../machine/keys.ts';
import { spendingKey } from '../machine/ledger/effects.ts';
import type { RecoveryRow } from '../machine/recovery/types.ts';
import { recoveryOfKey } from '../machine/recovery/view.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM } from '../types/ids.ts';
import { DETAIL_LENGTH_MAX, HEARTBEAT_AGENTS_MAX } from '../types/limits.ts';
import { err, ok } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { detectionAnswer } from './detection.ts';
import { failure } from './errors.ts';
import { leaderOnly } from './member-changes.ts';
import { mutation } from './mutation.ts';
import { findRun } from './phase-service.ts';
import { boundedPage, read } from './read.ts';
import {
  agentBytes,
  agentMessage,
  costMessage,
  effectBytes,
  effectMessage,
  recoveryBytes,
  recoveryMessage,
} from './recovery-convert.ts';
import { streamOfLoop } from './routing.ts';
import { tablePage } from './table-page.ts';
import { type RawUnaryHandler, unary } from './unary.ts';

const { method } = RecoveryService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof RecoveryService>>]: RawUnaryHandler };

export function recoveryHandlers(context: ApiContext): Handlers {
  return { ...recoveryReads(context), ...runMutations(context), ...agentHandlers(context) };
}

type RecoveryReads = Pick<Handlers, 'listRecoveries' | 'getRecovery' | 'getDetection'>;

function recoveryReads(context: ApiContext): RecoveryReads {
  return {
    listRecoveries: read(context, method.listRecoveries, {
      params: (request, check) => ({
        page: check.page(request),
        loop: check.nameOrEmpty('loop', request.loop),
        openOnly: request.openOnly,
      }),
      answer: (view, { page, loop, openOnly }) => {
        const scan = {
          ...(loop === '' ? {} : { prefix: loop }),
          ...(openOnly ? { wanted: (row: RecoveryRow) => row.result === '' } : {}),
        };
        const fetch = (rows: number) => tablePage(view.rows.recovery, scan, page.after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, recoveryMessage, recoveryBytes);
        return ok({ $typeName: 'quorate.v1.ListRecoveriesResponse', recoveries: messages, nextPageToken });
      },
    }),
    getRecovery: read(context, method.getRecovery, {
      params: (request, check) => ({ ref: check.ref(request.ref), page: check.page(request) }),
      loop: ({ ref }) => ref.loop,
      answer: (view, { ref, page }) => {
        const run = findRun(view, ref);
        if (!run.ok) return run;
        const key = runKey(ref.loop, ref.g, run.value.position);
        const row = recoveryOfKey(view, key);
        if (row === null) return err(recoveryNotFound(ref.loop, ref.g, ref.phase));
        const fetch = (rows: number) => tablePage(view.rows.effect, { prefix: key }, page.after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, effectMessage, effectBytes);
        return ok({
          $typeName: 'quorate.v1.GetRecoveryResponse',
          recovery: recoveryMessage(row),
          effects: messages,
          nextPageToken,
          cost: costMessage(view.rows.spending.get(spendingKey(row.traceId, key))),
          autoAttempts: view.rows.watch.get(key)?.autoAttempts ?? 0,
          autoAttemptsMax: policyIn(view, 'autoAttemptsMax'),
          blockedUntilMs: BigInt(row.blockedUntilMs),
          timeMs: BigInt(Math.max(view.timeMs, Date.now())),
        });
      },
    }),
    getDetection: read(context, method.getDetection, {
      params: ({ loop }, check) => check.name('loop', loop),
      loop: (loop) => loop,
      answer: detectionAnswer,
    }),
  };
}

function recoveryNotFound(loop: string, g: number, phase: string): StatusError {
  const message = `phase ${phase} of round ${g} of loop ${loop} was never interrupted; there is nothing to recover`;
  return failure('RECOVERY_NOT_FOUND', message, { metadata: { g: String(g), loop, phase } });
}

type RunMutations = Pick<Handlers, 'interruptPhase' | 'reportFinished'>;

function runMutations(context: ApiContext): RunMutations {
  return {
    interruptPhase: mutation(context, method.interruptPhase, {
      session: 'optional',
      body: ({ ref: wanted, attempt, detail }, check) => {
        const ref = check.ref(wanted);
        return {
          kind: 'interruptPhase',
          ref,
          attempt: check.number('attempt', attempt, 1),
          cause: 'OPERATOR',
          detail: check.text('detail', detail, DETAIL_LENGTH_MAX),
          // When the fault was, nobody knows: no later than now, and the state's time never goes back behind this.
          faultAtMs: context.member.local(streamOfLoop(ref.loop)).timeMs,
        };
      },
      kind: 'phaseInterrupted',
      answer: (header, { waiting }) => ({ $typeName: 'quorate.v1.InterruptPhaseResponse' as const, header, waiting }),
    }),
    reportFinished: mutation(context, method.reportFinished, {
      session: 'optional',
      body: ({ header, ref, fencingToken, participant }, check) => ({
        kind: 'reportFinished',
        ref: check.ref(ref),
        token: check.number<'FencingToken'>('fencing_token', fencingToken, 1),
        participant: participant === '' ? (header?.caller ?? '') : check.label('participant', participant),
      }),
      kind: 'finishedReported',
      answer: (header, { finished, participants }) => ({
        $typeName: 'quorate.v1.ReportFinishedResponse' as const,
        header,
        finished,
        participants,
      }),
    }),
  };
}

type AgentHandlers = Pick<Handlers, 'heartbeat' | 'farewell' | 'listAgents'>;

function agentHandlers(context: ApiContext): AgentHandlers {
  return {
    heartbeat: unary(context, method.heartbeat, 'INTERNAL', ({ agents }) => {
      const check = new Check();
      check.count('agents', agents.length, 1, HEARTBEAT_AGENTS_MAX);
      agents.slice(0, HEARTBEAT_AGENTS_MAX).forEach((agent, i) => {
        // The paths are only built for what is wrong: heartbeats are many.
        if (agent === '' || !check.isLabel(agent)) check.labelNotEmpty(`agents[${i}]`, agent);
      });
      const refused = check.failure() ?? beatAll(context, agents);
      if (refused !== null) return err(refused);
      const heartbeatMs = BigInt(policyIn(context.member.local(DATA_STREAM), 'heartbeatMs'));
      return ok({ $typeName: 'quorate.v1.HeartbeatResponse', heartbeatMs });
    }),
    farewell: mutation(context, method.farewell, {
      session: 'optional',
      body: ({ header, agent }, check) => ({
        kind: 'markAgent',
        agent: check.labelNotEmpty('agent', agent === '' ? (header?.caller ?? '') : agent),
        healthy: false,
        left: true,
        seenAtMs: context.member.local(DATA_STREAM).timeMs,
      }),
      kind: 'agentMarked',
      answer: (header) => ({ $typeName: 'quorate.v1.FarewellResponse' as const, header }),
    }),
    listAgents: read(context, method.listAgents, {
      params: (request, check) => check.page(request),
      answer: (view, { after, limit }) => {
        const fetch = (rows: number) => agentsPage(view, after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, limit, agentMessage, agentBytes);
        return ok({ $typeName: 'quorate.v1.ListAgentsResponse', agents: messages, nextPageToken });
      },
    }),
  };
}

/** null: the leader's memory has all of them. Asks for the member's status only to say why not: heartbeats are many. */
function beatAll(context: ApiContext, agents: readonly string[]): StatusError | null {
  const { level } = context.member.local(DATA_STREAM).featureLevel();
  if (level < AGENTS_LEVEL) {
    const message = `agents are watched from feature level ${AGENTS_LEVEL} on, and the cluster is at ${level}; upgrade all members`;
    return failure('FEATURE_LEVEL_TOO_LOW', message, { metadata: { level: String(level) } });
  }
  if (agents.every((agent) => context.agents?.heartbeat(agent) === 'ok')) return null;
  const elsewhere = leaderOnly(context, context.member.status(DATA_STREAM));
  const message = `member ${context.memberId} leads, and does not watch agents yet; try again`;
  return elsewhere ?? failure('NOT_LEADER', message);
}

/** Feature level that brings agents. */
const AGENTS_LEVEL = 3;
