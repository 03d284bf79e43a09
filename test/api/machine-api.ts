/** The API over a real state machine: what is proposed is applied at once, what is read is its state. */
import { logIndex, type MemberId, memberId, revision, term } from '../../src/types/ids.ts';
import { at, Bench, ref } from '../machine/kit.ts';
import type { TestApi } from './support.ts';

export function serveMachine(api: TestApi, bench: Bench): void {
  api.member.mutate = async (_stream, { body, caller, traceId, session }) => {
    const given = session === null ? { caller, traceId } : { caller, traceId, session };
    const { result, replayed } = bench.apply(body, given);
    if (result === null) throw new Error('a command has a result');
    return { kind: 'applied', index: logIndex(bench.machine.appliedIndex), term: term(1), replayed, result };
  };
  api.member.read = async () => ({ kind: 'ready', view: bench.machine });
  // So that clients which look for the leader find this one.
  const a: MemberId = memberId('a');
  const row = { member: a, peerAddress: 'a.test:7200', incarnation: '', wanted: 'voter', replaces: '' } as const;
  api.member.view.memberRows = [{ ...row, clientAddress: api.address, changedRevision: revision(1) }];
}

/** A loop whose first phase, of trace `trace`, was interrupted, at feature level 3. */
export function interruptedBench(): Bench {
  const bench = new Bench();
  bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
  bench.createLoop();
  bench.begin('ANALYZE');
  const fault = { cause: 'OPERATOR', detail: '', faultAtMs: at(bench.timeMs) } as const;
  bench.done('phaseInterrupted', { kind: 'interruptPhase', ref: ref('ANALYZE'), attempt: 1, ...fault });
  return bench;
}
