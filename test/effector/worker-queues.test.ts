import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { CallOutcome } from '../../src/effector/hook.ts';
import { WORKERS_MAX, type WorkerLink, WorkerQueues, type WorkerSeat } from '../../src/effector/worker-queues.ts';
import { aCall } from './hook-servers.ts';
import { ManualClock, quiet } from './stage.ts';

class FakeWorker implements WorkerLink {
  readonly given: { readonly id: number; readonly key: string; readonly deadlineMs: number }[] = [];
  readonly withdrawn: number[] = [];
  dismissed = 0;
  readonly queues: readonly string[];
  readonly capacity: number;
  readonly seat: WorkerSeat | 'full' | null;

  constructor(room: WorkerQueues, queues: readonly string[], capacity = 1) {
    this.queues = queues;
    this.capacity = capacity;
    this.seat = room.join(this);
  }

  give({ id, call }: Parameters<WorkerLink['give']>[0]): void {
    this.given.push({ id, key: call.key, deadlineMs: call.deadlineMs });
  }
  withdraw(id: number): void {
    this.withdrawn.push(id);
  }
  dismiss(): void {
    this.dismissed++;
  }
  answer(key: string, outcome: CallOutcome = { kind: 'done' }): void {
    const task = this.given.findLast((one) => one.key === key);
    this.sit().answer(task?.id ?? -1, outcome);
  }
  sit(): WorkerSeat {
    if (this.seat === null || this.seat === 'full') throw new Error('no seat');
    return this.seat;
  }
  get keys(): string[] {
    return this.given.map(({ key }) => key);
  }
}

const never = new AbortController().signal;
let clock: ManualClock;
let room: WorkerQueues;
let outcomes: Map<string, CallOutcome>;

beforeEach(() => {
  clock = new ManualClock();
  room = new WorkerQueues(clock);
  room.open();
  outcomes = new Map();
});

function ask(key: string, target = 'q', deadlineMs = 1_000, signal = never): void {
  void room.call(aCall({ key, target, deadlineMs }), signal).then((outcome) => outcomes.set(key, outcome));
}

describe('L2: queues of workers', () => {
  test('a task waits for a worker of its queue, who is told what is left of the time', async () => {
    ask('t1');
    clock.advance(300);
    expect(new FakeWorker(room, ['other']).given).toEqual([]);
    const worker = new FakeWorker(room, ['q']);
    expect(worker.given).toMatchObject([{ key: 't1', deadlineMs: 700 }]);
    worker.answer('t1');
    await quiet();
    expect(outcomes.get('t1')).toEqual({ kind: 'done' });
    expect(clock.timers).toBe(0);
  });

  test.each<CallOutcome>([{ kind: 'done' }, { kind: 'stale' }, { kind: 'failed', error: 'no luck' }])(
    'what the worker says is the outcome: %o',
    async (outcome) => {
      const worker = new FakeWorker(room, ['q']);
      ask('t1');
      worker.answer('t1', outcome);
      await quiet();
      expect(outcomes.get('t1')).toEqual(outcome);
    },
  );

  test('WQ3: one after the other up to the capacity, the oldest first, over all of its queues', () => {
    for (const [key, queue] of [
      ['t1', 'q'],
      ['t2', 'r'],
      ['t3', 'q'],
      ['t4', 'q'],
    ] as const) {
      ask(key, queue);
    }
    const worker = new FakeWorker(room, ['r', 'q'], 2);
    expect(worker.keys).toEqual(['t1', 't2']);
    worker.answer('t2');
    expect(worker.keys).toEqual(['t1', 't2', 't3']);
    worker.answer('t1', { kind: 'failed', error: '' });
    expect(worker.keys).toEqual(['t1', 't2', 't3', 't4']);
  });

  test('the worker with most room gets the task', () => {
    const one = new FakeWorker(room, ['q'], 2);
    const two = new FakeWorker(room, ['q'], 3);
    for (let i = 1; i <= 5; i++) ask(`t${i}`);
    expect([one.keys, two.keys]).toEqual([
      ['t2', 't4'],
      ['t1', 't3', 't5'],
    ]);
  });

  test('WQ2: a worker that leaves gives its tasks back as failed, and only those', async () => {
    const worker = new FakeWorker(room, ['q'], 2);
    for (const key of ['t1', 't2', 't3']) ask(key);
    worker.answer('t1');
    worker.sit().leave();
    worker.sit().leave();
    await quiet();
    expect(outcomes).toEqual(
      new Map<string, CallOutcome>([
        ['t1', { kind: 'done' }],
        ['t2', { kind: 'failed', error: 'the worker has gone' }],
        ['t3', { kind: 'failed', error: 'the worker has gone' }],
      ]),
    );
    // It has no say any more.
    worker.answer('t2');
    expect(outcomes.get('t2')?.kind).toBe('failed');
  });

  test('out of time without a worker, and with one who says nothing', async () => {
    ask('t1', 'q', 500);
    clock.advance(499);
    await quiet();
    expect(outcomes.size).toBe(0);
    clock.advance(1);
    await quiet();
    expect(outcomes.get('t1')).toEqual({ kind: 'failed', error: 'no worker has taken it from queue q within 500 ms' });
    const worker = new FakeWorker(room, ['q']);
    expect(worker.given).toEqual([]);
    ask('t2', 'q', 500);
    ask('t3', 'q', 2_000);
    clock.advance(500);
    await quiet();
    expect(outcomes.get('t2')).toEqual({ kind: 'failed', error: 'the worker gave no answer within 500 ms' });
    expect(worker.withdrawn).toEqual([worker.given[0]?.id]);
    // The answer that comes too late changes nothing, and the next task is there.
    worker.answer('t2');
    expect(worker.keys).toEqual(['t2', 't3']);
    expect(outcomes.has('t3')).toBe(false);
  });

  test('when leadership moves, workers are sent away and every task has failed', async () => {
    const worker = new FakeWorker(room, ['q']);
    for (const key of ['t1', 't2']) ask(key);
    room.close();
    ask('t3');
    await quiet();
    const failed = { kind: 'failed', error: 'the leadership has moved' };
    expect([...outcomes.values()]).toEqual([failed, failed, failed]);
    expect(worker.dismissed).toBe(1);
    expect(new FakeWorker(room, ['q']).seat).toBeNull();
    room.open();
    ask('t4');
    expect(new FakeWorker(room, ['q']).keys).toEqual(['t4']);
    expect(worker.keys).toEqual(['t1']);
  });

  test('a call is given up when the member stops', async () => {
    const stop = new AbortController();
    const worker = new FakeWorker(room, ['q']);
    ask('t1', 'q', 1_000, stop.signal);
    ask('t2', 'q', 1_000, stop.signal);
    stop.abort();
    await quiet();
    expect([...outcomes.values()].map(({ kind }) => kind)).toEqual(['failed', 'failed']);
    expect(worker.keys).toEqual(['t1']);
    expect(clock.timers).toBe(0);
  });

  test('workers are bounded', () => {
    for (let i = 0; i < WORKERS_MAX; i++) new FakeWorker(room, ['q']);
    expect(new FakeWorker(room, ['q']).seat).toBe('full');
  });

  test('WQ1, WQ3: whatever happens, a task is with one worker, is answered once, and capacities hold', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('ask' as const), queue: fc.constantFrom('q', 'r') }),
      fc.record({
        kind: fc.constant('join' as const),
        queues: fc.subarray(['q', 'r'], { minLength: 1 }),
        capacity: fc.integer({ min: 1, max: 3 }),
      }),
      fc.record({ kind: fc.constant('answer' as const), worker: fc.nat(9), task: fc.nat(9) }),
      fc.record({ kind: fc.constant('leave' as const), worker: fc.nat(9) }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 600 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const time = new ManualClock();
        const queues = new WorkerQueues(time);
        queues.open();
        const workers: FakeWorker[] = [];
        const answers = new Map<string, number>();
        let asked = 0;
        for (const one of steps) {
          if (one.kind === 'ask') {
            const key = `t${asked++}`;
            const call = aCall({ key, target: one.queue, deadlineMs: 500 });
            void queues.call(call, never).then(() => answers.set(key, (answers.get(key) ?? 0) + 1));
          } else if (one.kind === 'join') workers.push(new FakeWorker(queues, one.queues, one.capacity));
          else if (one.kind === 'answer') {
            const worker = workers[one.worker % Math.max(1, workers.length)];
            const task = worker?.given[one.task % Math.max(1, worker.given.length)];
            if (task !== undefined) worker?.sit().answer(task.id, { kind: 'done' });
          } else if (one.kind === 'leave') workers[one.worker % Math.max(1, workers.length)]?.sit().leave();
          else time.advance(one.ms);
          await Promise.resolve();
        }
        const ids = workers.flatMap(({ given }) => given.map(({ id }) => id));
        expect(new Set(ids).size).toBe(ids.length);
        time.advance(500);
        await quiet();
        expect(answers.size).toBe(asked);
        expect([...answers.values()].every((times) => times === 1)).toBe(true);
        expect(time.timers).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
