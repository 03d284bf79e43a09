import { describe, expect, test } from 'vitest';
import { type ApiReason, ERRORS } from '../../src/api/errors.ts';
import { isQuorateReason, QuorateError, type QuorateReason } from '../../src/client/errors.ts';
import {
  BACK_OFF_MAX_MS,
  BrokenStreams,
  backOffMs,
  type Failure,
  judge,
  type Safety,
  STREAM_LASTED_MS,
} from '../../src/client/retry.ts';

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

  test('the reasons are those of the API, no more and no less', () => {
    // The types say it, at compile time; INDETERMINATE and COMPACTED have classes of their own.
    const missing: Exclude<ApiReason, QuorateReason | 'INDETERMINATE' | 'COMPACTED'>[] = [];
    const surplus: Exclude<QuorateReason, ApiReason | 'UNAVAILABLE' | 'UNKNOWN'>[] = [];
    const reasons: readonly never[] = [...missing, ...surplus];
    expect(reasons).toEqual([]);
    for (const reason of Object.keys(ERRORS)) {
      const own = reason === 'INDETERMINATE' || reason === 'COMPACTED';
      expect([reason, isQuorateReason(reason)]).toEqual([reason, !own]);
    }
  });

  test('back-off: full jitter under an exponential cap; a hint to wait is a lower bound', () => {
    const busy = new QuorateError({ reason: 'OVERLOADED', message: '', retryAfterMs: 400 });
    const noQuorum = new QuorateError({ reason: 'NO_QUORUM', message: '', retryAfterMs: 400 });
    expect(backOffMs(0, null, () => 1)).toBe(10);
    expect(backOffMs(3, null, () => 0.5)).toBe(40);
    expect(backOffMs(1_000, null, () => 1)).toBe(BACK_OFF_MAX_MS);
    expect(backOffMs(0, null, () => 0)).toBe(0);
    expect(backOffMs(0, busy, () => 0)).toBe(400);
    expect(backOffMs(0, busy, () => 1)).toBe(600);
    expect(backOffMs(0, noQuorum, () => 1)).toBe(10);
  });

  test('streams that break as soon as they have begun are further and further apart; one that lasted is the first again', () => {
    const broken = new BrokenStreams();
    expect(broken.broke(0)).toBe(0);
    for (let count = 1; count < 5; count++) {
      broken.begun(count);
      broken.begun(count + 5);
      expect(broken.broke(count + 10)).toBe(count);
    }
    broken.begun(100);
    broken.begun(100 + STREAM_LASTED_MS);
    expect(broken.broke(100 + STREAM_LASTED_MS)).toBe(0);
    // It never came to be: how long the one before it lasted counts no more.
    expect(broken.broke(100 + 2 * STREAM_LASTED_MS)).toBe(1);
  });
});
