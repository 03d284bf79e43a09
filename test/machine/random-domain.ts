/** Commands of feature level 3 for random histories: mostly what the run needs next, at times what does not fit. */

import type { MachineView } from '../../src/machine/api.ts';
import { INTERRUPT_CAUSES } from '../../src/machine/detection/types.ts';
import { sha256Hex } from '../../src/machine/document/snapshot.ts';
import { after, runKey, under } from '../../src/machine/keys.ts';
import { OVERRIDE_ACTIONS } from '../../src/machine/override/types.ts';
import { STEPS } from '../../src/machine/recovery/transitions.ts';
import { recoveryOf } from '../../src/machine/recovery/view.ts';
import type { RunRow } from '../../src/machine/rows.ts';
import type { CommandBody, PhaseRef } from '../../src/machine/types.ts';
import { at, token } from './kit.ts';
import type { Step } from './random-history.ts';

export const DOMAIN_KINDS = 18;

type DomainStep = Step & { readonly domain: number };
const publicKey = 'a'.repeat(64);
const STEP_NAMES = [...STEPS.RECONCILE, ...STEPS.ROLLBACK];

export function domainBody(view: MachineView, step: DomainStep, run: RunRow): CommandBody {
  const ref = { loop: run.loop, g: run.g, phase: run.phase };
  const fence = token(Math.max(1, run.token) + (step.wrongToken ? 1 : 0));
  switch (step.domain) {
    case 0:
    case 1:
      return {
        kind: 'interruptPhase',
        ref,
        attempt: run.attempt + (step.wrongToken ? 1 : 0),
        cause: step.domain === 0 ? 'OPERATOR' : (INTERRUPT_CAUSES[step.acked % INTERRUPT_CAUSES.length] ?? 'OPERATOR'),
        detail: step.text,
        faultAtMs: at(1),
      };
    case 2:
      return intentBody(step, run);
    case 12:
    case 13:
      return run.state === 'RUNNING' ? intentBody(step, run) : recoveryBody(view, step, run);
    case 14:
      if (run.state !== 'RUNNING' || newestKey(view, run) === undefined) return recoveryBody(view, step, run);
      return { kind: 'abortPhase', ref, token: fence, reason: step.text, hardFail: step.hardFail, vectorClock: [] };
    case 3:
      return { kind: 'confirmEffect', ref, token: fence, key: newestKey(view, run) ?? keyFor(step), result: step.text };
    case 4:
      return writeBody(view, step, run);
    case 5:
      return { kind: 'reportFinished', ref, token: fence, participant: step.caller };
    case 6:
      return {
        kind: 'markAgent',
        agent: `a${step.loop}`,
        healthy: step.supersede,
        left: step.newTerm,
        seenAtMs: at(step.acked),
      };
    case 7:
    case 16:
    case 17:
      return overrideBody(view, step, run);
    case 8: {
      const values = [
        { name: 'blockedMs', value: 8_000 },
        { name: 'compensatorTriesMax', value: 2 },
        { name: 'autoAttemptsMax', value: step.wrongToken ? -1 : 1 + step.loop },
      ] as const;
      return { kind: 'setPolicy', values };
    }
    case 9: {
      const row = view.rows.issue.range('', '~', 1)[0]?.[1];
      return { kind: 'acknowledgeIssue', issue: row?.issue ?? 1, note: step.text };
    }
    case 10: {
      const row = view.rows.alertPending.range('', '~', 1)[0]?.[1];
      return { kind: 'settleAlert', alert: row?.alert ?? 1, delivered: step.supersede, error: step.text };
    }
    default:
      return recoveryBody(view, step, run);
  }
}

const refOf = ({ loop, g, phase }: RunRow): PhaseRef => ({ loop, g, phase });

function intentBody(step: DomainStep, run: RunRow): CommandBody {
  const fence = token(Math.max(1, run.token) + (step.wrongToken ? 1 : 0));
  const compensator = { kind: 'http', target: 'http://localhost', payload: step.text } as const;
  const cost = { costMicros: step.newTerm ? '20' : '1', limitMicros: '19' };
  const resource = step.acked === 1 && step.supersede ? 'r' : '';
  const operation = resource === '' ? '' : step.hardFail ? 'create' : 'delete';
  const effect = { key: keyFor(step), description: step.text, compensator, ...cost, resource, operation } as const;
  return { kind: 'recordIntent', ref: refOf(run), token: fence, ...effect };
}

/** Few keys, so that some come again. */
const keyFor = ({ acked, text }: DomainStep): string => `k${acked}${text.length % 3}`;

function newestKey(view: MachineView, { loop, g, position }: RunRow): string | undefined {
  const run = runKey(loop, g, position);
  return view.rows.effect.range(under(run), after(run), 100).at(-1)?.[1].key;
}

function writeBody(view: MachineView, step: DomainStep, run: RunRow): CommandBody {
  const { loop, g, phase } = run;
  const name = `d${step.acked}`;
  const expectedVersion = view.rows.document.get(`${loop} ${name}`)?.version ?? 0;
  const inside = run.state === 'RUNNING' && step.supersede;
  const writer = inside
    ? { ref: { loop, g, phase }, token: token(Math.max(1, run.token)) }
    : ({ ref: null, token: 0 } as const);
  const where = { loop, name, expectedVersion, ...writer, vectorClock: [] };
  if (step.wrongToken) return { kind: 'deleteDocument', ...where };
  const content = step.text;
  const form = { schema: null, causalFields: null, causalChanged: [] };
  return { kind: 'putDocument', ...where, content, sha256: sha256Hex(content), ...form };
}

function overrideBody(view: MachineView, step: DomainStep, run: RunRow): CommandBody {
  const nonce = String(view.appliedIndex + 1).padStart(32, '0');
  const signed = { expiresAtMs: at(view.timeMs + 60_000), nonce };
  if (view.rows.supervisor.size === 0) {
    const changes = [{ name: 'sue', publicKey }];
    return { kind: 'changeSupervisors', changes, signaturesNeeded: null, ...signed, signatures: [] };
  }
  const unsettled = view.rows.recovery.range('', '~', 50).map(([, row]) => row);
  const own = recoveryOf(view, run);
  const other = unsettled.findLast(({ state }) => state !== 'CLEAN_EXIT');
  const row = own !== null && own.state !== 'CLEAN_EXIT' ? own : (other ?? own);
  const target = row?.traceId ?? 'nobody';
  const action = OVERRIDE_ACTIONS[(step.acked + (step.hardFail ? 2 : 0)) % OVERRIDE_ACTIONS.length] ?? 'resume';
  const signatures = [{ supervisor: step.wrongToken ? 'joe' : 'sue', publicKey, signature: 'b'.repeat(128) }];
  return { kind: 'override', target, action, ...signed, signatures };
}

/** What the run's recovery, or any that is open, needs next. */
function recoveryBody(view: MachineView, step: DomainStep, run: RunRow): CommandBody {
  const open = view.rows.recoveryOpen.range('', '~', 1)[0]?.[0];
  const row = (open === undefined ? null : view.rows.recovery.get(open)) ?? recoveryOf(view, run);
  if (open === undefined && (run.state === 'PENDING' || run.state === 'ABORTED')) {
    const participants = step.newTerm ? [step.caller || 'x'] : [];
    return { kind: 'beginPhase', ref: refOf(run), supersedeAttempt: 0, vectorClock: [], participants };
  }
  const { loop, g, phase } = row ?? run;
  const ref = { loop, g, phase };
  const fence = token((row?.token ?? 0) + (step.wrongToken ? 2 : 0));
  if (step.domain === 11) return { kind: 'takeOverRecovery', ref, token: fence };
  if (row?.state === 'BLOCKED_COMPENSATOR' && step.supersede) {
    return overrideBody(view, { ...step, acked: 0, hardFail: false }, run);
  }
  if (row === null || row.state === 'INTERRUPTED') return { kind: 'startRecovery', ref, token: fence };
  if (row.step === 'sel_compensate' && row.seq !== 0) {
    const call = { done: step.supersede, error: step.text, nextTryAtMs: at(step.acked), circuitOpen: step.hardFail };
    return { kind: 'settleCompensation', ref, token: fence, seq: row.seq, ...call };
  }
  const name = row.step === '' || step.newTerm ? (STEP_NAMES[step.acked % STEP_NAMES.length] ?? 'vc_merge') : row.step;
  const ok = row.state === 'ROLLBACK' || step.pick % 5 !== 0;
  return { kind: 'completeStep', ref, token: fence, step: name, ok, detail: step.text };
}
