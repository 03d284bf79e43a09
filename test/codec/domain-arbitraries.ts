/** Any command and answer of feature level 3 that the types allow. */
import fc from 'fast-check';
import { POLICY_NAMES } from '../../src/machine/detection/policy.ts';
import { INTERRUPT_CAUSES } from '../../src/machine/detection/types.ts';
import { OVERRIDE_ACTIONS } from '../../src/machine/override/types.ts';
import type { DomainCommand, DomainValue, PhaseRef, VectorClock } from '../../src/machine/types.ts';
import type { ClusterTimeMs, FencingToken, MemberId } from '../../src/types/ids.ts';
import { memberId } from '../../src/types/ids.ts';

export type DomainBodies = {
  readonly [Kind in DomainCommand['kind']]: fc.Arbitrary<Extract<DomainCommand, { kind: Kind }>>;
};
export type DomainValues = {
  readonly [Kind in DomainValue['kind']]: fc.Arbitrary<Extract<DomainValue, { kind: Kind }>>;
};

export interface Parts {
  readonly count: fc.Arbitrary<number>;
  readonly text: fc.Arbitrary<string>;
  readonly clock: fc.Arbitrary<VectorClock>;
  readonly ref: fc.Arbitrary<PhaseRef>;
}

const of = <Kind extends string>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind);
const member: fc.Arbitrary<MemberId> = fc.constantFrom('a', 'node-1', 'z9').map(memberId);
const flag = fc.boolean();

export function domainBodies(parts: Parts): DomainBodies {
  return { ...phaseBodies(parts), ...recoveryBodies(parts), ...operatorBodies(parts) };
}

function phaseBodies({
  count,
  text,
  clock,
  ref,
}: Parts): Pick<
  DomainBodies,
  | 'putDocument'
  | 'deleteDocument'
  | 'decommissionNode'
  | 'interruptPhase'
  | 'markAgent'
  | 'reportFinished'
  | 'setPolicy'
> {
  const token = count as fc.Arbitrary<FencingToken>;
  const timeMs = count as fc.Arbitrary<ClusterTimeMs>;
  const texts = fc.array(text, { maxLength: 4 });
  const written = { loop: text, name: text, expectedVersion: count, ref: fc.option(ref), token, vectorClock: clock };
  return {
    putDocument: fc.record({
      kind: of('putDocument'),
      ...written,
      content: text,
      sha256: text,
      schema: fc.option(text),
      causalFields: fc.option(texts),
      causalChanged: texts,
    }),
    deleteDocument: fc.record({ kind: of('deleteDocument'), ...written }),
    decommissionNode: fc.record({ kind: of('decommissionNode'), node: text }),
    interruptPhase: fc.record({
      kind: of('interruptPhase'),
      ref,
      attempt: count,
      cause: fc.constantFrom(...INTERRUPT_CAUSES),
      detail: text,
      faultAtMs: timeMs,
    }),
    markAgent: fc.record({ kind: of('markAgent'), agent: text, healthy: flag, left: flag, seenAtMs: timeMs }),
    reportFinished: fc.record({ kind: of('reportFinished'), ref, token, participant: text }),
    setPolicy: fc.record({
      kind: of('setPolicy'),
      values: fc.array(fc.record({ name: fc.constantFrom(...POLICY_NAMES), value: count }), { maxLength: 4 }),
    }),
  };
}

function recoveryBodies({
  count,
  text,
  ref,
}: Parts): Pick<
  DomainBodies,
  | 'startRecovery'
  | 'takeOverRecovery'
  | 'completeStep'
  | 'settleCompensation'
  | 'recordIntent'
  | 'confirmEffect'
  | 'withdrawEffect'
> {
  const token = count as fc.Arbitrary<FencingToken>;
  const timeMs = count as fc.Arbitrary<ClusterTimeMs>;
  const compensator = fc.record({
    kind: fc.constantFrom('http' as const, 'grpc' as const, 'worker' as const),
    target: text,
    payload: text,
  });
  return {
    startRecovery: fc.record({ kind: of('startRecovery'), ref, token }),
    takeOverRecovery: fc.record({ kind: of('takeOverRecovery'), ref, token }),
    completeStep: fc.record({
      kind: of('completeStep'),
      ref,
      token,
      step: fc.constantFrom('wal_fsync' as const, 'sel_compensate' as const),
      ok: flag,
      detail: text,
    }),
    settleCompensation: fc.record({
      kind: of('settleCompensation'),
      ref,
      token,
      seq: count,
      done: flag,
      error: text,
      nextTryAtMs: timeMs,
      circuitOpen: flag,
    }),
    recordIntent: fc.record({
      kind: of('recordIntent'),
      ref,
      token,
      key: text,
      description: text,
      compensator,
      costMicros: text,
      limitMicros: text,
      resource: text,
      operation: fc.constantFrom('' as const, 'create' as const, 'delete' as const),
    }),
    confirmEffect: fc.record({ kind: of('confirmEffect'), ref, token, key: text, result: text }),
    withdrawEffect: fc.record({ kind: of('withdrawEffect'), ref, token, key: text, reason: text }),
  };
}

function operatorBodies({
  count,
  text,
}: Parts): Pick<
  DomainBodies,
  | 'override'
  | 'changeSupervisors'
  | 'acknowledgeIssue'
  | 'settleAlert'
  | 'markLagging'
  | 'permitAsync'
  | 'markIsolated'
  | 'evictMember'
> {
  const signatures = fc.array(fc.record({ supervisor: text, publicKey: text, signature: text }), { maxLength: 4 });
  const signed = { expiresAtMs: count as fc.Arbitrary<ClusterTimeMs>, nonce: text, signatures };
  return {
    override: fc.record({
      kind: of('override'),
      target: text,
      action: fc.constantFrom(...OVERRIDE_ACTIONS),
      ...signed,
    }),
    changeSupervisors: fc.record({
      kind: of('changeSupervisors'),
      changes: fc.array(fc.record({ name: text, publicKey: text }), { maxLength: 4 }),
      signaturesNeeded: fc.option(count),
      ...signed,
    }),
    acknowledgeIssue: fc.record({ kind: of('acknowledgeIssue'), issue: count, note: text }),
    settleAlert: fc.record({ kind: of('settleAlert'), alert: count, delivered: flag, error: text }),
    markLagging: fc.record({ kind: of('markLagging'), member, lagging: flag, detail: text }),
    permitAsync: fc.record({ kind: of('permitAsync'), member, on: flag }),
    markIsolated: fc.record({ kind: of('markIsolated'), member, isolated: flag }),
    evictMember: fc.record({ kind: of('evictMember'), member, voters: fc.array(member, { maxLength: 3 }) }),
  };
}

export function domainValues({ count, text, clock }: Parts): DomainValues {
  return {
    documentPut: fc.record({ kind: of('documentPut'), version: count }),
    documentDeleted: fc.record({ kind: of('documentDeleted'), version: count }),
    nodeDecommissioned: fc.record({ kind: of('nodeDecommissioned'), dropAtMs: count as fc.Arbitrary<ClusterTimeMs> }),
    phaseInterrupted: fc.record({ kind: of('phaseInterrupted'), waiting: flag }),
    phaseRollingBack: fc.record({ kind: of('phaseRollingBack'), nextG: count, vectorClock: clock }),
    agentMarked: fc.record({ kind: of('agentMarked') }),
    finishedReported: fc.record({ kind: of('finishedReported'), finished: count, participants: count }),
    policySet: fc.record({ kind: of('policySet') }),
    recoveryAdvanced: fc.record({
      kind: of('recoveryAdvanced'),
      state: fc.constantFrom('RECONCILE' as const, 'ROLLBACK' as const),
      step: fc.constantFrom('' as const, 'vc_merge' as const),
      token: count as fc.Arbitrary<FencingToken>,
    }),
    intentRecorded: fc.record({
      kind: of('intentRecorded'),
      seq: count,
      fresh: flag,
      state: fc.constantFrom('' as const, 'INTENT' as const, 'CONFIRMED' as const),
      result: text,
      refusal: fc.constantFrom('' as const, 'COST_CAP_EXCEEDED' as const),
      refusalDetail: text,
    }),
    effectConfirmed: fc.record({ kind: of('effectConfirmed'), seq: count }),
    effectWithdrawn: fc.record({ kind: of('effectWithdrawn'), seq: count }),
    overridden: fc.record({ kind: of('overridden'), recoveries: count }),
    supervisorsChanged: fc.record({ kind: of('supervisorsChanged'), supervisors: count, threshold: count }),
    issueAcknowledged: fc.record({ kind: of('issueAcknowledged') }),
    alertSettled: fc.record({ kind: of('alertSettled') }),
    availabilityChanged: fc.record({
      kind: of('availabilityChanged'),
      eviction: fc.constantFrom('' as const, 'PENDING' as const, 'EVICTED' as const, 'BLOCKED' as const),
    }),
  };
}
