/** The client's end of a pipeline, with a stream by hand: what is sent, what is known when it ends, what is let go. */
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Pipeline, type PipelineStream } from '../../src/client/pipeline.ts';
import type { ExecuteRequest } from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { statusError } from '../../src/rpc/status.ts';
import { PIPELINE_CALLS_MAX } from '../../src/types/limits.ts';

class ByHand extends Duplex {
  readonly messages: ExecuteRequest[] = [];
  cancelled = false;

  constructor() {
    super({ objectMode: true });
  }

  override _write(message: ExecuteRequest, _: BufferEncoding, done: () => void): void {
    this.messages.push(message);
    done();
  }

  override write(message: ExecuteRequest): boolean {
    return super.write(message) && !full;
  }

  override _read(): void {}

  cancel(): void {
    this.cancelled = true;
  }

  answer(count: number): void {
    const answers = Array.from({ length: count }, (_, i) => ({ response: new Uint8Array([i]) }));
    this.emit('data', { answers });
  }

  get calls(): ExecuteRequest['calls'] {
    return this.messages.flatMap(({ calls }) => calls);
  }
}

const ENOUGH = new Error('enough');

/** Whether streams say that they take no more for now. */
let full: boolean;
/** How many more calls may go by themselves. */
let room: number;
let streams: ByHand[];
let unread: (number | null)[];
let pipeline: Pipeline;

beforeEach(() => {
  vi.useFakeTimers();
  full = false;
  streams = [];
  unread = [];
  const open = (): PipelineStream => {
    const stream = new ByHand();
    streams.push(stream);
    return stream as unknown as PipelineStream;
  };
  room = Number.POSITIVE_INFINITY;
  pipeline = new Pipeline(
    open,
    (retryAfterMs) => void unread.push(retryAfterMs),
    () => room,
  );
});

afterEach(() => {
  pipeline.close();
  vi.useRealTimers();
});

function call(method = '/s/M', options: { tryMs?: number; leftMs?: number; signal?: AbortSignal } = {}) {
  const { tryMs = 1_000, leftMs = tryMs, signal } = options;
  return pipeline.call({ method, bytes: new Uint8Array([1]), tryMs, leftMs, signal });
}

const turn = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

/** Answers a few at a time, as long as it takes. */
async function answerUntil(count: number): Promise<void> {
  for (let answered = 0; answered < count; answered += 1) {
    streams[0]?.answer(1);
    if (answered % 20 === 0) await vi.advanceTimersByTimeAsync(10);
  }
}

describe('a pipeline of the client', () => {
  it('puts what is called in one turn into one message, and names a method once', async () => {
    const calls = [call('/s/A'), call('/s/A'), call('/s/B')];
    await turn();
    expect(streams[0]?.messages).toHaveLength(1);
    expect(streams[0]?.calls.map(({ method }) => method)).toEqual(['/s/A', '', '/s/B']);
    streams[0]?.answer(3);
    const outcomes = await Promise.all(calls);
    expect(outcomes.map((one) => (one.kind === 'answer' ? one.answer.response[0] : null))).toEqual([0, 1, 2]);
    expect(pipeline.size).toBe(0);
  });

  it('sends no more than may be without an answer', async () => {
    const calls = Array.from({ length: PIPELINE_CALLS_MAX + 10 }, () => call());
    await turn();
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX);
    streams[0]?.answer(4);
    await turn();
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX + 4);
    streams[0]?.answer(PIPELINE_CALLS_MAX);
    await turn();
    streams[0]?.answer(6);
    expect((await Promise.all(calls)).every(({ kind }) => kind === 'answer')).toBe(true);
  });

  it('leaves open what was sent when the stream ends, and nothing else', async () => {
    const sent = call();
    await turn();
    const queued = call();
    streams[0]?.emit('error', { code: 14, details: 'gone' });
    expect(await sent).toMatchObject({ kind: 'broken', sent: true, unread: false });
    expect(await queued).toMatchObject({ kind: 'broken', sent: false, unread: false });
    // The next one has a stream of its own, which knows no method yet.
    void call();
    await turn();
    expect(streams[1]?.calls[0]?.method).toBe('/s/M');
  });

  it.each([
    ['an older member', { code: 12, details: 'not implemented' }, [null]],
    [
      'a full member',
      statusError({ code: 8, reason: 'NO_PIPELINE', message: 'later', retryAfterMs: 700 }),
      // As it says.
      [700],
    ],
    ['a member that failed', { code: 13, details: 'a bug' }, []],
  ])('knows when nothing was read, and for how long: %s', async (_, error, heard) => {
    const sent = call();
    await turn();
    streams[0]?.emit('error', error);
    expect(await sent).toMatchObject({ kind: 'broken', sent: true, unread: heard.length > 0 });
    expect(unread).toEqual(heard);
  });

  it('takes no such word behind an answer', async () => {
    const [answered, open] = [call(), call()];
    await turn();
    streams[0]?.answer(1);
    streams[0]?.emit('error', { code: 12, details: 'not implemented' });
    expect(await answered).toMatchObject({ kind: 'answer' });
    expect(await open).toMatchObject({ kind: 'broken', sent: true, unread: false });
  });

  it('takes the reason of a signal for no word of the member', async () => {
    const controller = new AbortController();
    const sent = call('/s/M', { signal: controller.signal });
    await turn();
    controller.abort({ code: 12, details: 'of another call' });
    expect(await sent).toMatchObject({ kind: 'broken', sent: true, unread: false });
  });

  it('lets go of a signal that lives longer', async () => {
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, 'removeEventListener');
    const done = call('/s/M', { signal: controller.signal });
    await turn();
    streams[0]?.answer(1);
    await done;
    expect(remove).toHaveBeenCalledTimes(1);
  });

  it('does not send what was given up before it could be', async () => {
    const controller = new AbortController();
    const given = call('/s/A', { signal: controller.signal });
    const kept = call('/s/B');
    controller.abort(new Error('enough'));
    expect(await given).toMatchObject({ kind: 'broken', sent: false });
    await turn();
    expect(streams[0]?.calls.map(({ method }) => method)).toEqual(['/s/B']);
    streams[0]?.answer(1);
    expect(await kept).toMatchObject({ kind: 'answer' });
  });

  it('counts the time of a try from when it is sent, and lets it wait for that as long as its time is not over', async () => {
    const first = Array.from({ length: PIPELINE_CALLS_MAX }, () => call('/s/M', { tryMs: 5_000 }));
    const patient = call('/s/M', { tryMs: 900, leftMs: 2_000 });
    const impatient = call('/s/M', { tryMs: 900, leftMs: 1_200 });
    await turn();
    // A call for each place that is free, and the two behind them.
    const later = Array.from({ length: 20 }, () => call('/s/M', { tryMs: 5_000 }));
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX);
    await answerUntil(PIPELINE_CALLS_MAX + 22);
    expect(streams[0]?.calls[PIPELINE_CALLS_MAX]?.deadlineMs).toBe(900);
    expect((await Promise.all([...first, patient, impatient, ...later])).every(({ kind }) => kind === 'answer')).toBe(
      true,
    );
  });

  it('does not send what is certain to be late: neither when it waits, nor when its turn has come', async () => {
    const first = Array.from({ length: PIPELINE_CALLS_MAX + 1 }, () => call('/s/M', { tryMs: 5_000 }));
    const waits = call('/s/M', { leftMs: 230 });
    const turns = call('/s/M', { leftMs: 330 });
    await vi.advanceTimersByTimeAsync(100);
    streams[0]?.answer(1);
    await vi.advanceTimersByTimeAsync(50);
    expect(await waits).toEqual({ kind: 'late' });
    await vi.advanceTimersByTimeAsync(90);
    streams[0]?.answer(1);
    await turn();
    expect(await turns).toEqual({ kind: 'late' });
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX + 1);
    streams[0]?.answer(PIPELINE_CALLS_MAX - 1);
    expect((await Promise.all(first)).every(({ kind }) => kind === 'answer')).toBe(true);
  });

  it('lets what is not sent go by itself when the front holds up the others, until it is answered', async () => {
    const sent = Array.from({ length: PIPELINE_CALLS_MAX }, () => call('/s/M', { tryMs: 60_000 }));
    const waiting = call('/s/M', { tryMs: 60_000 });
    await vi.advanceTimersByTimeAsync(100);
    expect(pipeline.stuck).toBe(false);
    await vi.advanceTimersByTimeAsync(150);
    expect(pipeline.stuck).toBe(true);
    expect(await waiting).toEqual({ kind: 'aside' });
    await vi.advanceTimersByTimeAsync(5_000);
    // It is not broken, and says nothing of the member.
    expect(streams[0]?.cancelled).toBe(false);
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX);
    streams[0]?.answer(PIPELINE_CALLS_MAX);
    expect((await Promise.all(sent)).every(({ kind }) => kind === 'answer')).toBe(true);
    expect(pipeline.stuck).toBe(false);
    const next = call();
    await turn();
    streams[0]?.answer(1);
    expect(await next).toMatchObject({ kind: 'answer' });
  });

  it('lets go by itself what there is room for, and others look for another member after a second', async () => {
    for (let i = 0; i < PIPELINE_CALLS_MAX; i += 1) void call('/s/M', { tryMs: 60_000 });
    room = 1;
    const first = call('/s/M', { tryMs: 60_000 });
    const late = call('/s/M', { leftMs: 815 });
    const [second, third] = [1, 2].map(() => call('/s/M', { tryMs: 60_000 }));
    let over = 0;
    for (const one of [second, third]) void one?.then(() => (over += 1));
    await vi.advanceTimersByTimeAsync(210);
    expect(await first).toEqual({ kind: 'aside' });
    room = 0;
    await vi.advanceTimersByTimeAsync(510);
    expect(over).toBe(0);
    room = 1;
    pipeline.asideDone();
    expect([await late, await second]).toEqual([{ kind: 'late' }, { kind: 'aside' }]);
    room = 0;
    pipeline.asideDone();
    await vi.advanceTimersByTimeAsync(350);
    expect(await third).toEqual({ kind: 'held' });
    expect(streams[0]?.calls).toHaveLength(PIPELINE_CALLS_MAX);
  });

  it('is not stuck while answers come, however long each of them takes', async () => {
    const sent = Array.from({ length: 20 }, () => call('/s/M', { tryMs: 60_000 }));
    await turn();
    for (let i = 0; i < 20; i += 1) {
      await vi.advanceTimersByTimeAsync(100);
      expect(pipeline.stuck).toBe(false);
      streams[0]?.answer(1);
    }
    expect((await Promise.all(sent)).every(({ kind }) => kind === 'answer')).toBe(true);
  });

  it('judges nobody by what it could not read while this process stood still', async () => {
    const sent = Array.from({ length: PIPELINE_CALLS_MAX }, () => call('/s/M', { tryMs: 1_000 }));
    const waiting = call('/s/M', { tryMs: 1_000, leftMs: 9_000 });
    await vi.advanceTimersByTimeAsync(100);
    const now = vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 1_500);
    await vi.advanceTimersToNextTimerAsync();
    now.mockRestore();
    streams[0]?.answer(PIPELINE_CALLS_MAX);
    expect((await Promise.all(sent)).every(({ kind }) => kind === 'answer')).toBe(true);
    await turn();
    streams[0]?.answer(1);
    expect(await waiting).toMatchObject({ kind: 'answer' });
  });

  it('ends a stream whose front is overdue: nobody waits behind it for ever', async () => {
    const late = call('/s/M', { tryMs: 100 });
    const behind = call('/s/M', { tryMs: 60_000 });
    await turn();
    expect(streams[0]?.calls).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(300);
    expect(await late).toEqual({ kind: 'silent' });
    await vi.advanceTimersByTimeAsync(3_000);
    expect(await behind).toEqual({ kind: 'silent' });
    expect(streams[0]?.cancelled).toBe(true);
  });

  it('ends a stream that answers what it was not asked', async () => {
    const one = call();
    await turn();
    streams[0]?.answer(2);
    expect(await one).toMatchObject({ kind: 'answer' });
    expect(streams[0]?.cancelled).toBe(true);
  });

  it('has a deadline for every time, also for none', async () => {
    void call('/s/M', { tryMs: Number.POSITIVE_INFINITY });
    void call('/s/M', { tryMs: 0.2, leftMs: 1_000 });
    await turn();
    expect(streams[0]?.calls.map(({ deadlineMs }) => deadlineMs)).toEqual([0, 1]);
  });

  it('closes its stream when nothing is under way, and opens another one', async () => {
    const one = call();
    await turn();
    streams[0]?.answer(1);
    await one;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(streams[0]?.writableEnded).toBe(true);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
    void call();
    await turn();
    expect(streams).toHaveLength(2);
  });

  it('is not kept from writing by a stream that it has closed, and whose drain it does not hear', async () => {
    const sent = Array.from({ length: 3 }, () => call());
    full = true;
    await turn();
    streams[0]?.answer(3);
    await Promise.all(sent);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(streams[0]?.writableEnded).toBe(true);
    full = false;
    const next = call();
    await turn();
    streams[1]?.answer(1);
    expect(await next).toMatchObject({ kind: 'answer' });
  });

  it('sends nothing that has hardly any time', async () => {
    expect(await call('/s/M', { leftMs: 50 })).toEqual({ kind: 'aside' });
    expect(streams).toEqual([]);
  });

  it('lets many be given up at once', async () => {
    const calls = Array.from({ length: 50_000 }, () => {
      const controller = new AbortController();
      return { controller, outcome: call('/s/M', { signal: controller.signal, tryMs: 60_000 }) };
    });
    await turn();
    const find = vi.spyOn(Array.prototype, 'indexOf');
    const splice = vi.spyOn(Array.prototype, 'splice');
    for (const { controller } of calls) controller.abort(ENOUGH);
    const looked = [find.mock.calls.length, splice.mock.calls.length];
    vi.restoreAllMocks();
    // None is looked for among the others.
    expect(looked).toEqual([0, 0]);
    const outcomes = await Promise.all(calls.map(({ outcome }) => outcome));
    expect(outcomes.filter((one) => one.kind === 'broken' && one.sent)).toHaveLength(PIPELINE_CALLS_MAX);
    expect(pipeline.size).toBe(0);
  });

  it('closes its stream when the member stops, as soon as nothing is under way', async () => {
    const calls = [call(), call()];
    await turn();
    streams[0]?.answer(1);
    pipeline.leave();
    await turn();
    expect(streams[0]?.writableEnded).toBe(false);
    streams[0]?.answer(1);
    await Promise.all(calls);
    expect(streams[0]?.writableEnded).toBe(true);
    // The next stream is none that is left.
    const next = call();
    await turn();
    streams[1]?.answer(1);
    await next;
    expect(streams[1]?.writableEnded).toBe(false);
  });

  it('refuses what comes after its end, as not sent', async () => {
    pipeline.close();
    expect(await call()).toMatchObject({ kind: 'broken', sent: false });
    expect(streams).toEqual([]);
  });

  it('takes a stream that cannot be opened for one that broke', async () => {
    const closed = new Pipeline(
      () => {
        throw new Error('Channel has been shut down');
      },
      () => undefined,
      () => 0,
    );
    const outcome = closed.call({ method: '/s/M', bytes: new Uint8Array(), tryMs: 1_000, leftMs: 1_000 });
    await turn();
    expect(await outcome).toMatchObject({ kind: 'broken', sent: false });
    closed.close();
  });
});
