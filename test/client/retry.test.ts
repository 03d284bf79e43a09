import { describe, expect, test } from 'vitest';
import { QuorateError, type QuorateReason, STATE_REASONS, type StateReason } from '../../src/client/errors.ts';
import { BACK_OFF_MAX_MS, backOffMs, type Failure, judge, type Safety } from '../../src/client/retry.ts';
import type { RejectReason } from '../../src/machine/types.ts';
import type { MutationOutcome } from '../../src/node/types.ts';

const refused = (reason: QuorateReason): Failure => ({
  kind: 'refused',
  error: new QuorateError({ reason, message: reason }),
  leaderAddress: null,
});
const unknown: Failure = {
  kind: 'unknown',
  error: new QuorateError({ reason: 'UNAVAILABLE', message: 'cut' }),
  answered: false,
};

describe('R6: which failures are retried', () => {
  test.each<[string, Failure, Safety, boolean, ReturnType<typeof judge>]>([
    ['a read after a cut', unknown, 'read', false, 'retry'],
    ['a session mutation after a cut', unknown, 'session', false, 'retry'],
    ['an unprotected mutation after a cut', unknown, 'unprotected', false, 'indeterminate'],
    ['an unprotected mutation that never left', refused('UNAVAILABLE'), 'unprotected', false, 'retry'],
    ['not the leader', refused('NOT_LEADER'), 'unprotected', false, 'retry'],
    ['no quorum', refused('NO_QUORUM'), 'unprotected', false, 'retry'],
    ['overloaded', refused('OVERLOADED'), 'unprotected', false, 'retry'],
    ['shutting down', refused('SHUTTING_DOWN'), 'session', true, 'retry'],
    ['refused by the state', refused('STALE_FENCE'), 'session', false, 'fail'],
    ['refused by the state when asked again', refused('STALE_FENCE'), 'session', true, 'fail'],
    ['session expired at first', refused('SESSION_EXPIRED'), 'session', false, 'fail'],
    ['session expired after a cut', refused('SESSION_EXPIRED'), 'session', true, 'indeterminate'],
    ['sequence forgotten after a cut', refused('SESSION_SEQUENCE_FORGOTTEN'), 'session', true, 'indeterminate'],
    ['unknown reason after a cut', refused('UNKNOWN'), 'session', true, 'indeterminate'],
    ['too large', refused('TOO_LARGE'), 'session', false, 'fail'],
    ['a read refused after a cut', refused('LOOP_NOT_FOUND'), 'read', true, 'fail'],
  ])('%s', (_name, failure, safety, doubt, verdict) => {
    expect(judge(failure, safety, doubt)).toBe(verdict);
  });

  test('the reasons are those of the state machine and of the members, no more and no less', () => {
    const machine: Record<RejectReason, StateReason> = Object.fromEntries(
      STATE_REASONS.map((reason) => [reason, reason]),
    ) as Record<StateReason, StateReason>;
    const back: Record<StateReason, RejectReason> = machine;
    expect(Object.keys(back).sort()).toEqual([...STATE_REASONS].sort());
    const ofMember = (reason: Extract<MutationOutcome, { kind: 'refused' }>['reason']): QuorateReason => reason;
    expect(ofMember('NOT_LEADER')).toBe('NOT_LEADER');
  });

  test('back-off: full jitter under an exponential cap; a hint is a lower bound', () => {
    expect(backOffMs(0, null, () => 1)).toBe(10);
    expect(backOffMs(3, null, () => 0.5)).toBe(40);
    expect(backOffMs(1_000, null, () => 1)).toBe(BACK_OFF_MAX_MS);
    expect(backOffMs(0, null, () => 0)).toBe(0);
    expect(backOffMs(0, 400, () => 0)).toBe(400);
    expect(backOffMs(0, 400, () => 1)).toBe(600);
  });
});
