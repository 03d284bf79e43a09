import { describe, expect, test } from 'vitest';
import type { CallOutcome, CompensationCall } from '../../src/effector/hook.ts';
import { isActive } from '../../src/machine/recovery/transitions.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { at } from '../machine/kit.ts';
import { Ward } from '../machine/recovery-kit.ts';
import { Receiver, Stage } from './stage.ts';

const down = async (): Promise<CallOutcome> => ({ kind: 'failed', error: 'HTTP 500: down' });

/** A run with effects e1, e2 … of which the last is an intent only, interrupted. */
function broken(effects: number, ward = new Ward()): Ward {
  ward.begin('A');
  for (let i = 1; i <= effects; i++) ward.effect(`e${i}`, i < effects);
  ward.interrupt();
  return ward;
}

const over = (stage: Stage) => () => stage.recoveries().every(({ result }) => result !== '');
const kinds = (bodies: readonly CommandBody[]): string[] =>
  bodies.map((body) => (body.kind === 'completeStep' ? body.step : body.kind));

describe('V1, V3: a recovery from its beginning to its end', () => {
  test('rollback: compensators newest first, intents too; each call says what its receiver needs', async () => {
    const stage = new Stage(broken(3));
    const receiver = new Receiver();
    const reign = stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    const row = stage.ward.recovery();
    expect([row.state, row.result]).toEqual(['CLEAN_EXIT', 'ROLLED_BACK']);
    expect(stage.ward.run().state).toBe('ABORTED');
    expect(receiver.undone).toEqual(['e3', 'e2', 'e1']);
    expect(receiver.heard.map(({ key, confirmed, attempt }) => [key, confirmed, attempt])).toEqual([
      ['e3', false, 1],
      ['e2', true, 1],
      ['e1', true, 1],
    ]);
    expect(receiver.heard[0]).toMatchObject({
      target: 'http://localhost/undo',
      payload: 'e3',
      loop: 'loop',
      g: 1,
      phase: 'A',
      traceId: 'trace',
      deadlineMs: 30_000,
    });
    // One lock, one token, which is odd.
    expect(new Set(receiver.heard.map(({ token }) => token % 2))).toEqual(new Set([1]));
    expect(kinds(reign.proposed)).toEqual([
      'startRecovery',
      'wal_fsync',
      'checkpoint_flush',
      'vc_merge',
      'settleCompensation',
      'settleCompensation',
      'settleCompensation',
      'sel_compensate',
      'snapshot_apply',
    ]);
    expect(receiver.underWayMax).toBe(1);
    expect(stage.bugs).toEqual([]);
  });

  test('RR5: stands still while automation is paused, under way or not, and goes on when the pause is over', async () => {
    const ward = broken(2);
    const pause = (value: number) =>
      ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'automationPaused', value }] });
    const stage = new Stage(ward);
    const receiver = new Receiver();
    receiver.way = (call) => {
      if (receiver.heard.length === 0) pause(1);
      return Promise.resolve(receiver.receive(call));
    };
    const reign = stage.lead(stage.driver(receiver));
    await stage.until(() => ward.recovery().seq === 1);
    for (let i = 0; i < 50; i++) await stage.tick();
    expect(receiver.undone).toEqual(['e2']);
    expect(ward.recovery()).toMatchObject({ state: 'ROLLBACK', seq: 1 });
    expect(kinds(reign.proposed).at(-1)).toBe('settleCompensation');
    pause(0);
    await stage.until(over(stage));
    expect(receiver.undone).toEqual(['e2', 'e1']);
  });

  test('V2: a run whose work is done is rolled forward, and nobody is called', async () => {
    const ward = new Ward();
    ward.begin('A');
    ward.effect('e1');
    ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result: 'r' }] });
    ward.interrupt();
    const stage = new Stage(ward);
    const receiver = new Receiver();
    stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    expect(ward.recovery().result).toBe('ROLLED_FORWARD');
    expect(receiver.heard).toEqual([]);
  });

  test('V2: a document that is not as its schema wants it forces the rollback', async () => {
    const ward = new Ward();
    ward.begin('A');
    ward.report({ completed: 1, total: 1, subSteps: [{ id: 's', result: 'r' }] });
    ward.interrupt();
    const stage = new Stage(ward);
    const checkDocuments = async () => ({ ok: false, detail: 'document d: must be a number' });
    stage.lead(stage.driver(new Receiver(), { checkDocuments }));
    await stage.until(over(stage));
    expect(ward.recovery().result).toBe('ROLLED_BACK');
    const issue = ward.machine.rows.issue.range('', '\u007f', 10).map(([, row]) => row);
    expect(JSON.stringify(issue)).toContain('document d: must be a number');
  });

  test('V5: what waits for a supervisor is left alone', async () => {
    const stage = new Stage(broken(1));
    const receiver = new Receiver();
    stage.lead(stage.driver(receiver));
    for (let i = 0; i < 3; i++) {
      await stage.until(() => !isActive(stage.ward.recovery().state) && stage.ward.recovery().state !== 'INTERRUPTED');
      stage.ward.begin('A');
      stage.ward.interrupt();
      if (stage.ward.recovery().waiting !== '') break;
    }
    expect(stage.ward.recovery()).toMatchObject({ state: 'INTERRUPTED', waiting: 'AUTO_ATTEMPTS' });
    const before = stage.reign?.proposed.length;
    for (let i = 0; i < 20; i++) await stage.tick();
    expect(stage.reign?.proposed.length).toBe(before);
  });
});

describe('V7: side by side', () => {
  test('recoveries of different loops do not wait for each other, and each runs its own in order', async () => {
    const ward = new Ward();
    for (const loop of ['l1', 'l2', 'l3']) ward.createLoop(loop, 'p');
    const stage = new Stage(ward);
    const receiver = new Receiver();
    const keys = ['l1', 'l2', 'l3'].flatMap((loop) => breakLoop(ward, loop, 2));
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The first loop hangs.
    receiver.way = (call) => (call.loop === 'l1' ? gate.then(() => receiver.receive(call)) : null);
    stage.lead(stage.driver(receiver));
    await stage.until(() => receiver.undone.length === 4);
    await stage.until(() => stage.recoveries().filter(({ result }) => result === 'ROLLED_BACK').length === 2);
    expect(receiver.undone.filter((key) => key.startsWith('l2'))).toEqual(['l2-2', 'l2-1']);
    expect(receiver.undone.filter((key) => key.startsWith('l3'))).toEqual(['l3-2', 'l3-1']);
    release();
    await stage.until(over(stage));
    expect([...receiver.undone].sort()).toEqual([...keys].sort());
  });

  test('calls are bounded, no target has them all, and every recovery gets its turn', async () => {
    const ward = new Ward();
    const loops = Array.from({ length: 40 }, (_, i) => `l${i + 10}`);
    for (const loop of loops) ward.createLoop(loop, 'p');
    for (const loop of loops) breakLoop(ward, loop, 1);
    const stage = new Stage(ward);
    const receiver = new Receiver();
    const waiting: (() => void)[] = [];
    receiver.way = (call) =>
      new Promise((resolve) => waiting.push(() => resolve(receiver.receive(call)))) as Promise<CallOutcome>;
    stage.lead(stage.driver(receiver, { callsMax: 8 }));
    for (let i = 0; i < 5; i++) await stage.tick();
    // One target: half of the slots.
    expect(receiver.underWay).toBe(4);
    await stage.until(() => {
      for (const go of waiting.splice(0)) go();
      return over(stage)();
    });
    expect(receiver.underWayMax).toBe(4);
    expect(receiver.undone).toHaveLength(40);
  });
});

function breakLoop(ward: Ward, loop: string, effects: number): string[] {
  const { token, attempt } = ward.begin('A', { loop });
  const ref = { loop, g: 1, phase: 'A' };
  const keys = Array.from({ length: effects }, (_, i) => `${loop}-${i + 1}`);
  for (const key of keys) {
    ward.done('intentRecorded', {
      kind: 'recordIntent',
      ref,
      token,
      key,
      description: key,
      compensator: { kind: 'http', target: 'http://localhost/undo', payload: '' },
      costMicros: '0',
      limitMicros: '1',
      resource: '',
      operation: '',
    });
  }
  ward.done('phaseInterrupted', {
    kind: 'interruptPhase',
    ref,
    attempt,
    cause: 'OPERATOR',
    detail: '',
    faultAtMs: at(ward.timeMs),
  });
  return keys;
}

describe('L3: tries, back-off and circuit', () => {
  test('five tries, each after a wait drawn below min(cap, base · 2^(try − 1)); then blocked', async () => {
    const stage = new Stage(broken(1));
    const receiver = new Receiver();
    receiver.way = down;
    const tries: (readonly [attempt: number, atMs: number])[] = [];
    const bounds: number[] = [];
    stage.random = (bound) => {
      bounds.push(bound);
      return bound - 1;
    };
    stage.lead(stage.driver(receiver, { onCall: ({ call }) => tries.push([call.attempt, stage.ward.timeMs]) }));
    await stage.until(() => stage.ward.recovery().state === 'BLOCKED_COMPENSATOR', 100);
    expect(tries.map(([attempt]) => attempt)).toEqual([1, 2, 3, 4, 5]);
    const waits = tries.slice(1).map(([, ms], i) => ms - (tries[i]?.[1] ?? 0));
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000]);
    expect(bounds.slice(0, 4)).toEqual([1_001, 2_001, 4_001, 8_001]);
    expect(stage.ward.recovery()).toMatchObject({ tries: 5, lastError: 'HTTP 500: down' });
  });

  test('the open circuit blocks the next at once, and lets a probe through after its time', async () => {
    const ward = new Ward();
    for (const loop of ['l1', 'l2', 'l3']) ward.createLoop(loop, 'p');
    ward.done('policySet', { kind: 'setPolicy', values: [{ name: 'compensatorTriesMax', value: 2 }] });
    const stage = new Stage(ward);
    const receiver = new Receiver();
    receiver.way = down;
    const calls: CompensationCall[] = [];
    stage.lead(stage.driver(receiver, { onCall: ({ call }) => calls.push(call) }));
    const stateOf = (loop: string) => stage.recoveries().find((row) => row.loop === loop);
    breakLoop(ward, 'l1', 1);
    await stage.until(() => stateOf('l1')?.state === 'BLOCKED_COMPENSATOR', 100);
    expect(calls).toHaveLength(2);
    breakLoop(ward, 'l2', 1);
    await stage.until(() => stateOf('l2')?.state === 'BLOCKED_COMPENSATOR');
    expect(calls).toHaveLength(2);
    expect(stateOf('l2')?.lastError).toMatch(/the circuit of http http:\/\/localhost\/undo is open/);
    // 30 minutes later one call goes through, and closes the circuit.
    receiver.way = () => null;
    await stage.tick(30 * 60_000);
    breakLoop(ward, 'l3', 1);
    await stage.until(() => stateOf('l3')?.result === 'ROLLED_BACK');
    expect(calls).toHaveLength(3);
  });

  test('V6, CB4: a supervisor resumes what is blocked, though the circuit is open', async () => {
    const stage = new Stage(broken(2));
    const receiver = new Receiver();
    receiver.way = down;
    stage.lead(stage.driver(receiver));
    await stage.until(() => stage.ward.recovery().state === 'BLOCKED_COMPENSATOR', 100);
    receiver.way = () => null;
    const applied = stage.ward.events.length;
    expect(stage.ward.override('resume')).toBeNull();
    stage.reign?.work.applied(stage.ward.events.slice(applied));
    await stage.until(over(stage));
    expect(stage.ward.recovery().result).toBe('ROLLED_BACK');
    expect(receiver.undone).toEqual(['e2', 'e1']);
  });

  test('a new leader knows the circuit from who is blocked by it', async () => {
    const ward = new Ward();
    for (const loop of ['l1', 'l2']) ward.createLoop(loop, 'p');
    const stage = new Stage(ward);
    const receiver = new Receiver();
    receiver.way = down;
    const calls: CompensationCall[] = [];
    stage.lead(stage.driver(receiver));
    breakLoop(ward, 'l1', 1);
    await stage.until(() => stage.recoveries()[0]?.state === 'BLOCKED_COMPENSATOR', 100);
    stage.lead(stage.driver(receiver, { onCall: ({ call }) => calls.push(call) }));
    breakLoop(ward, 'l2', 1);
    await stage.until(() => stage.recoveries()[1]?.state === 'BLOCKED_COMPENSATOR');
    expect(calls).toEqual([]);
  });

  test('a compensation that is done is told until it is heard, and not called again', async () => {
    const stage = new Stage(broken(1));
    const receiver = new Receiver();
    let lost = 5;
    stage.fate = (body) => (body.kind === 'settleCompensation' && lost-- > 0 ? 'lost' : 'applied');
    stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    expect(lost).toBeLessThan(0);
    expect(receiver.heard).toHaveLength(1);
  });
});

describe('V4: tokens', () => {
  test('a call that is under way when the leader changes is refused after the new one has called', async () => {
    const stage = new Stage(broken(2));
    const receiver = new Receiver();
    let arrive = (): CallOutcome => ({ kind: 'failed', error: 'not sent' });
    let answer: CallOutcome | null = null;
    receiver.way = (call) => {
      receiver.way = () => null;
      // The old leader is stopped with its call in its hands.
      return new Promise((resolve) => {
        arrive = () => {
          answer = receiver.receive(call);
          resolve(answer);
          return answer;
        };
      });
    };
    const old = stage.lead(stage.driver(receiver));
    await stage.until(() => receiver.underWay === 1);
    const proposed = old.proposed.length;
    stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    expect(receiver.undone).toEqual(['e2', 'e1']);
    expect(arrive()).toEqual({ kind: 'stale' });
    await stage.tick();
    expect(receiver.refused.map(({ key }) => key)).toEqual(['e2']);
    // LW2: nothing is proposed after the depose.
    expect(old.proposed.length).toBe(proposed);
  });

  test('a leader that is told of a newer token asks the log; if it still leads, it goes on with a new token', async () => {
    const stage = new Stage(broken(1));
    const receiver = new Receiver();
    let first = 0;
    receiver.way = (call) => {
      first ||= call.token;
      return call.token === first ? Promise.resolve({ kind: 'stale' }) : null;
    };
    const reign = stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    expect(kinds(reign.proposed)).toContain('takeOverRecovery');
    expect(receiver.heard.map(({ token }) => token > first)).toEqual([true]);
    expect(stage.ward.recovery().result).toBe('ROLLED_BACK');
  });

  test('a receiver that refuses the newest token is a receiver that fails', async () => {
    const stage = new Stage(broken(1));
    const receiver = new Receiver();
    receiver.way = async () => ({ kind: 'stale' });
    stage.lead(stage.driver(receiver));
    await stage.until(() => stage.ward.recovery().state === 'BLOCKED_COMPENSATOR', 100);
    expect(stage.ward.recovery().lastError).toMatch(/has seen a token above \d+, which is the newest there is/);
  });

  test('RR2: a new leader takes over what is active before anything else is done for it', async () => {
    const stage = new Stage(broken(2));
    const receiver = new Receiver();
    receiver.way = () => new Promise(() => undefined);
    stage.lead(stage.driver(receiver));
    await stage.until(() => receiver.underWay === 1);
    const before = stage.ward.recovery().token;
    receiver.way = () => null;
    const reign = stage.lead(stage.driver(receiver));
    await stage.until(over(stage));
    expect(kinds(reign.proposed)[0]).toBe('takeOverRecovery');
    expect(receiver.heard.every(({ token }) => token > before)).toBe(true);
    // Not from the beginning: RECONCILE was done.
    expect(kinds(reign.proposed)).not.toContain('wal_fsync');
  });
});

describe('the driver and the state', () => {
  test('a refused command is told and is not repeated at once', async () => {
    const stage = new Stage(broken(1));
    const refused: string[] = [];
    const receiver = new Receiver();
    // Another round's recovery holds the lock in effect: the state refuses every start.
    let starts = 0;
    stage.fate = (body) => {
      if (body.kind === 'startRecovery' && starts++ < 3) Object.assign(body, { token: 999 });
      return 'applied';
    };
    stage.lead(stage.driver(receiver, { onRefused: (_body, { reason }) => refused.push(reason) }));
    for (let i = 0; i < 10; i++) await stage.tick();
    expect(refused).toEqual(['STALE_FENCE']);
    await stage.until(over(stage));
    expect(refused).toEqual(['STALE_FENCE', 'STALE_FENCE', 'STALE_FENCE']);
  });

  test('when the member stops, calls are broken off and nothing more is begun', async () => {
    const stage = new Stage(broken(1));
    const signals: AbortSignal[] = [];
    const hook = {
      call: (_call: CompensationCall, signal: AbortSignal) => {
        signals.push(signal);
        return new Promise<CallOutcome>(() => undefined);
      },
    };
    const driver = stage.driver(hook);
    const reign = stage.lead(driver);
    await stage.until(() => signals.length === 1);
    const proposed = reign.proposed.length;
    driver.close();
    expect(signals[0]?.aborted).toBe(true);
    for (let i = 0; i < 5; i++) await stage.tick();
    expect(reign.proposed.length).toBe(proposed);
  });
});
