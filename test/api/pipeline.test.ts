/** Issue 6: many calls on one stream, by hand and by the client library. */
import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MembershipService } from '../../src/gen/quorate/v1/membership_pb.ts';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type ExecuteResponse,
  type PipelinedAnswer,
  PipelineService,
} from '../../src/gen/quorate/v1/pipeline_pb.ts';
import type { MutationOutcome, MutationRequest } from '../../src/node/types.ts';
import { encodeMessage, methodDefinition, methodPath } from '../../src/rpc/service.ts';
import { parseStatus, parseStatusMessage } from '../../src/rpc/status.ts';
import { logIndex, revision, term } from '../../src/types/ids.ts';
import {
  PIPELINE_CALLS_MAX,
  PIPELINE_IDLE_MS,
  PIPELINES_MAX,
  PIPELINES_PER_CONNECTION_MAX,
  UNTAKEN_ANSWER_MS_MAX,
} from '../../src/types/limits.ts';
import { bytesOf, CREATE, requests, revisionOf } from './pipeline-messages.ts';
import { CANCEL, type RawCall, RawClient } from './raw-call.ts';
import { TestApi } from './support.ts';

const NOTHING = '/quorate.v1.Nothing/AtAll';
const EXECUTE = methodPath(PipelineService.method.execute);
const WAIT = { timeout: 5_000, interval: 2 };

interface Asked {
  readonly loop: string;
  readonly deadlineMs: number;
  readonly answer: () => void;
}

interface Pipe {
  readonly stream: ClientDuplexStream<ExecuteRequest, ExecuteResponse>;
  readonly answers: PipelinedAnswer[];
  readonly messages: number[];
  readonly errors: { reason: string; code: number }[];
  send(...calls: readonly (readonly [method: string, loop: string, deadlineMs?: number])[]): void;
}

let api: TestApi;
/** Commands that reached the member, in order; each is answered when the test says so. */
let asked: Asked[];
let raw: RawClient | null;
let raws: RawClient[];
let clients: Client[];

beforeEach(async () => {
  asked = [];
  raw = null;
  raws = [];
  clients = [];
  api = await new TestApi().start();
  Object.assign(api.member, {
    mutate: (_: unknown, { body }: MutationRequest, deadlineMs: number) =>
      new Promise<MutationOutcome>((resolve) => {
        const loop = body.kind === 'createLoop' ? body.loop : '';
        const answer = (): void => {
          const value = { kind: 'loopCreated', loop, g: 1 } as const;
          const result = { ok: true, revision: revision(Number.parseInt(loop.slice(1), 10) || 1), value } as const;
          resolve({ kind: 'applied', index: logIndex(31), term: term(5), replayed: false, result });
        };
        asked.push({ loop, deadlineMs, answer });
      }),
  });
});
afterEach(() => {
  raw?.close();
  for (const one of [...raws, ...clients]) one.close();
  api.stop();
});

/** Of others than the test's own: as many as take so many pipelines. */
function connection(pipeline: number): Client {
  const at = Math.floor(pipeline / PIPELINES_PER_CONNECTION_MAX);
  clients[at] ??= new Client(api.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  return clients[at];
}

function pipe(client = api.client): Pipe {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(PipelineService.method.execute);
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
  const answers: PipelinedAnswer[] = [];
  const messages: number[] = [];
  const errors: { reason: string; code: number }[] = [];
  stream.on('data', (message: ExecuteResponse) => {
    answers.push(...message.answers);
    messages.push(message.answers.length);
  });
  stream.on('error', (error) => errors.push(parseStatus(error)));
  const send: Pipe['send'] = (...calls) => {
    stream.write(requests(calls));
  };
  return { stream, answers, messages, errors, send };
}

/** One of a client that takes no answers. */
function unwilling(pipeline = 0): RawCall {
  const at = Math.floor(pipeline / PIPELINES_PER_CONNECTION_MAX);
  raws[at] ??= new RawClient(api.address, 0);
  raw ??= raws[at];
  return raws[at].call(EXECUTE);
}

describe('a pipeline', () => {
  it('PL1: answers in the order of the calls, which do not wait for each other', async () => {
    const { send, answers, messages, stream } = pipe();
    send([CREATE, 'l1'], ['', 'l2']);
    send(['', 'l3']);
    await vi.waitFor(() => expect(asked.map(({ loop }) => loop)).toEqual(['l1', 'l2', 'l3']), WAIT);
    asked[2]?.answer();
    asked[1]?.answer();
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers).toEqual([]);
    asked[0]?.answer();
    await vi.waitFor(() => expect(answers.map(revisionOf)).toEqual([1, 2, 3]), WAIT);
    // What is ready together travels together.
    expect(messages).toEqual([3]);
    const ended = new Promise((resolve) => stream.once('end', resolve));
    stream.end();
    await ended;
  });

  it('answers each call that fails by itself, with details, and goes on', async () => {
    const { send, answers, errors } = pipe();
    send([CREATE, 'not a name!'], ['/quorate.v1.Nothing/AtAll', 'x'], [CREATE, 'good']);
    await vi.waitFor(() => expect(asked).toHaveLength(1), WAIT);
    asked[0]?.answer();
    await vi.waitFor(() => expect(answers).toHaveLength(3), WAIT);
    const [first, second, third] = answers;
    expect(parseStatusMessage(first?.error as never)).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      violations: [{ field: 'loop' }],
    });
    expect(second?.error).toMatchObject({
      code: 12,
      message: expect.stringContaining('/quorate.v1.Nothing/AtAll is no command'),
    });
    expect(third?.error).toBeUndefined();
    expect(errors).toEqual([]);
  });

  it('is for commands: not for itself, for streams, for reads, nor for what takes long', async () => {
    const { send, answers } = pipe();
    const refused = [
      PipelineService.method.execute,
      PhaseService.method.getLoop,
      MembershipService.method.changeMembers,
    ];
    send(...refused.map((method) => [methodPath(method), 'x'] as const), ['/quorate.v1.WatchService/Watch', 'x']);
    await vi.waitFor(() => expect(answers.map(({ error }) => error?.code)).toEqual([12, 12, 12, 12]), WAIT);
  });

  it('keeps the deadline of each call', async () => {
    const { send } = pipe();
    send([CREATE, 'a', 1_000], ['', 'b']);
    await vi.waitFor(() => expect(asked).toHaveLength(2), WAIT);
    expect(asked[0]?.deadlineMs).toBeGreaterThan(500);
    expect(asked[0]?.deadlineMs).toBeLessThanOrEqual(1_000);
    expect(asked[1]?.deadlineMs).toBeGreaterThan(1_000);
  });

  it('PL2: begins no more than it may hold, and goes on as answers leave', async () => {
    const { send, answers } = pipe();
    const wanted = PIPELINE_CALLS_MAX + 50;
    for (let i = 0; i < wanted; i += 1) send([CREATE, `l${i + 1}`]);
    await vi.waitFor(() => expect(asked).toHaveLength(PIPELINE_CALLS_MAX), WAIT);
    // The second is ready, and takes up its place until the first has gone.
    asked[1]?.answer();
    await api.call(PhaseService.method.getLoop, { loop: 'other' });
    expect(asked).toHaveLength(PIPELINE_CALLS_MAX);
    asked[0]?.answer();
    await vi.waitFor(() => expect(asked).toHaveLength(PIPELINE_CALLS_MAX + 2), WAIT);
    for (let answered = 2; answered < wanted; answered += 1) {
      await vi.waitFor(() => expect(asked.length).toBeGreaterThan(answered), WAIT);
      asked[answered]?.answer();
    }
    await vi.waitFor(() => expect(answers).toHaveLength(wanted), WAIT);
    expect(answers.map(revisionOf)).toEqual(Array.from({ length: wanted }, (_, i) => i + 1));
  });

  it('is refused when there are too many, with a reason that says that nothing was read', async () => {
    const pipes = Array.from({ length: PIPELINES_MAX }, (_, i) => {
      const one = pipe(connection(i));
      one.send([CREATE, `p${i}`]);
      return one;
    });
    await vi.waitFor(() => expect(asked).toHaveLength(PIPELINES_MAX), WAIT);
    const late = pipe();
    late.send([CREATE, 'late']);
    await vi.waitFor(() => expect(late.errors[0]?.reason).toBe('NO_PIPELINE'), WAIT);
    // The place of one that goes is free.
    pipes[0]?.stream.cancel();
    await vi.waitFor(async () => {
      const again = pipe();
      again.send([CREATE, 'again']);
      await vi.waitFor(() => expect(asked.some(({ loop }) => loop === 'again')).toBe(true), { timeout: 200 });
    }, WAIT);
  });

  it('takes the place of one that has had nothing to do for a while, and of no other', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const pipes = Array.from({ length: PIPELINES_MAX }, (_, i) => {
        const one = pipe(connection(i));
        one.send([CREATE, `l${i + 1}`]);
        return one;
      });
      await vi.waitFor(() => expect(asked).toHaveLength(PIPELINES_MAX), WAIT);
      asked.find(({ loop }) => loop === 'l1')?.answer();
      await vi.waitFor(() => expect(pipes[0]?.answers).toHaveLength(1), WAIT);
      vi.advanceTimersByTime(PIPELINE_IDLE_MS + 1);
      const ended = new Promise((resolve) => pipes[0]?.stream.once('end', resolve));
      const late = pipe();
      late.send([CREATE, 'late']);
      await vi.waitFor(() => expect(asked.some(({ loop }) => loop === 'late')).toBe(true), WAIT);
      await ended;
      const later = pipe();
      later.send([CREATE, 'later']);
      await vi.waitFor(() => expect(later.errors[0]?.reason).toBe('NO_PIPELINE'), WAIT);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is refused beyond the share of its connection, whoever else has room', async () => {
    const own = Array.from({ length: PIPELINES_PER_CONNECTION_MAX + 1 }, () => pipe());
    for (const one of own) one.send([CREATE, 'own']);
    await vi.waitFor(() => expect(own.at(-1)?.errors[0]?.reason).toBe('NO_PIPELINE'), WAIT);
    pipe(connection(0)).send([CREATE, 'other']);
    await vi.waitFor(() => expect(asked.at(-1)?.loop).toBe('other'), WAIT);
  });

  it.each([
    ['calls', [0x0a, 0x00]],
    ['calls behind something unknown', [0x12, 0x00, 0x0a, 0x00]],
    ['calls with long tags', [0x8a, 0x00, 0x00]],
  ])('PL2: takes no message with more than it may hold: %s', async (_, bytes) => {
    raw = new RawClient(api.address);
    const call = raw.call(EXECUTE);
    call.send(Buffer.alloc(600_000, Buffer.from(bytes)));
    expect(await call.status).toMatchObject({
      reason: 'INDETERMINATE',
      message: expect.stringContaining('more than 256 calls in one message'),
    });
  });

  it('PL2: reads no further while what was read waits', async () => {
    raw = new RawClient(api.address);
    const call = raw.call(EXECUTE);
    const some = Array.from({ length: PIPELINE_CALLS_MAX }, (_, i) => [CREATE, `l${i + 1}`] as const);
    call.send(bytesOf(...some));
    await vi.waitFor(() => expect(asked).toHaveLength(PIPELINE_CALLS_MAX), WAIT);
    const large = create(ExecuteRequestSchema, { calls: [{ method: NOTHING, request: new Uint8Array(200_000) }] });
    for (let i = 0; i < 10; i += 1) call.send(encodeMessage(ExecuteRequestSchema, large));
    // One more is read, and waits.
    await vi.waitFor(() => expect(call.sent).toBe(2), WAIT);
    for (let i = 0; i < 20; i += 1) await api.call(PhaseService.method.getLoop, { loop: 'other' });
    expect(call.sent).toBeLessThanOrEqual(3);
    call.stream.resume();
    for (const { answer } of asked) answer();
    await vi.waitFor(() => expect(call.sent).toBe(11), WAIT);
  });

  it('PL2: begins nothing while answers of 1 MiB are not taken, and goes on when they are', async () => {
    const call = unwilling();
    const some = Array.from({ length: PIPELINE_CALLS_MAX }, () => [`/${'x'.repeat(100)}`, ''] as const);
    for (let i = 0; i < 100; i += 1) call.send(bytesOf(...some));
    call.send(bytesOf([CREATE, 'l1']));
    await call.answering;
    for (let i = 0; i < 20; i += 1) await api.call(PhaseService.method.getLoop, { loop: 'other' });
    expect(call.sent).toBeLessThan(60);
    expect(asked).toHaveLength(0);
    raw?.open(1 << 24);
    call.stream.resume();
    await vi.waitFor(() => expect(asked).toHaveLength(1), WAIT);
    expect(call.sent).toBe(101);
  });

  it('PL2: takes no compressed messages, and says so before it reads one', async () => {
    raw = new RawClient(api.address);
    const call = raw.call(EXECUTE, { 'grpc-encoding': 'gzip' });
    expect(await call.status).toMatchObject({ code: 12, reason: '', message: expect.stringContaining('compressed') });
  });

  it('PL3: is cut when its client takes nothing, also when it goes on asking, and frees its place', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    try {
      const calls = Array.from({ length: PIPELINES_MAX }, (_, i) => unwilling(i));
      for (const call of calls) call.send(bytesOf([NOTHING, 'x']));
      await Promise.all(calls.map(({ answering }) => answering));
      const refused = pipe();
      await vi.waitFor(() => expect(refused.errors[0]?.reason).toBe('NO_PIPELINE'), WAIT);
      await vi.advanceTimersByTimeAsync(UNTAKEN_ANSWER_MS_MAX - 2_000);
      for (const call of calls) call.send(bytesOf([CREATE, 'l1']));
      await vi.waitFor(() => expect(asked).toHaveLength(PIPELINES_MAX), WAIT);
      await vi.advanceTimersByTimeAsync(4_000);
      expect(new Set(await Promise.all(calls.map(({ closed }) => closed)))).toEqual(new Set([CANCEL]));
      const { send } = pipe();
      send([CREATE, 'l2']);
      await vi.waitFor(() => expect(asked.at(-1)?.loop).toBe('l2'), WAIT);
    } finally {
      vi.useRealTimers();
    }
  });

  it('answers what it was asked when its client has nothing more to say, and ends', async () => {
    const { send, answers, errors, stream } = pipe();
    send([CREATE, 'l1'], ['', 'l2']);
    stream.end();
    await vi.waitFor(() => expect(asked).toHaveLength(2), WAIT);
    const ended = new Promise((resolve) => stream.once('end', resolve));
    for (const { answer } of asked) answer();
    await ended;
    expect(answers.map(revisionOf)).toEqual([1, 2]);
    expect(errors).toEqual([]);
  });

  it('does nothing for a client that has vanished, and forgets what it was asked', async () => {
    const call = unwilling();
    call.send(bytesOf([NOTHING, ''], [CREATE, 'l1'], ['', 'l2']));
    await Promise.all([call.answering, vi.waitFor(() => expect(asked).toHaveLength(2), WAIT)]);
    raw?.close();
    await call.closed;
    for (const { answer } of asked) answer();
    const { send, answers } = pipe();
    send([CREATE, 'l3']);
    await vi.waitFor(() => expect(asked).toHaveLength(3), WAIT);
    asked[2]?.answer();
    await vi.waitFor(() => expect(answers.map(revisionOf)).toEqual([3]), WAIT);
  });

  it('PL5: refuses what comes when the member stops, call by call, and ends when nothing has come for a second', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    try {
      const { send, answers, stream, errors } = pipe();
      const idle = pipe();
      const ended = [stream, idle.stream].map((one) => new Promise((resolve) => one.once('end', resolve)));
      idle.send([CREATE, 'l7']);
      send([CREATE, 'l1'], ['', 'l2']);
      await vi.waitFor(() => expect(asked).toHaveLength(3), WAIT);
      asked.find(({ loop }) => loop === 'l7')?.answer();
      await vi.waitFor(() => expect(idle.answers).toHaveLength(1), WAIT);
      await vi.advanceTimersByTimeAsync(5 * PIPELINE_IDLE_MS);
      api.api.retire();
      // One had nothing to do for long; its client may be about to say something all the same.
      let over = false;
      void ended[1]?.then(() => {
        over = true;
      });
      await vi.advanceTimersByTimeAsync(PIPELINE_IDLE_MS - 1);
      await api.call(PhaseService.method.getLoop, { loop: 'other' });
      expect(over).toBe(false);
      await vi.advanceTimersByTimeAsync(200);
      await ended[1];
      for (const { answer } of asked) answer();
      await vi.waitFor(() => expect(answers.map(revisionOf)).toEqual([1, 2]), WAIT);
      send([CREATE, 'l3'], ['', 'l4']);
      await vi.waitFor(() => expect(answers).toHaveLength(4), WAIT);
      for (const { error } of answers.slice(2))
        expect(parseStatusMessage(error as never)).toMatchObject({ code: 14, reason: 'SHUTTING_DOWN' });
      expect(asked).toHaveLength(3);
      const late = pipe();
      late.send([CREATE, 'late']);
      await vi.waitFor(() => expect(late.errors[0]?.reason).toBe('NO_PIPELINE'), WAIT);
      await vi.advanceTimersByTimeAsync(PIPELINE_IDLE_MS + 200);
      await ended[0];
      expect(errors).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('ends on bytes that are no message, and does not say that nothing was done', async () => {
    const { path } = methodDefinition(PipelineService.method.execute);
    const same = (bytes: Buffer): Buffer => bytes;
    const stream = api.client.makeBidiStreamRequest(path, same, same, new Metadata());
    const failed = new Promise((resolve) => stream.on('error', (error) => resolve(parseStatus(error).reason)));
    stream.write(Buffer.from([0xff, 0xff, 0xff]));
    expect(await failed).toBe('INDETERMINATE');
  });
});
