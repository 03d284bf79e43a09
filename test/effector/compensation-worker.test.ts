/** Workers over real gRPC: the service on the client port, and the worker of the client library. */
import { Client, type ClientDuplexStream, credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { serverOptions } from '../../src/api/options.ts';
import { createApi } from '../../src/api/server.ts';
import { type Compensation, runCompensationWorker } from '../../src/client/compensation-worker.ts';
import { WorkerQueues } from '../../src/effector/worker-queues.ts';
import { CompensationWorkerService, WorkOutcome, type WorkResponse } from '../../src/gen/quorate/v1/compensator_pb.ts';
import { methodDefinition } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import { freePorts } from '../../src/server/free-ports.ts';
import { systemClock } from '../../src/server/system-ports.ts';
import { clusterId, memberId } from '../../src/types/ids.ts';
import { FakeMember } from '../api/support.ts';
import { captureLogger } from '../transport/support.ts';
import { aCall } from './hook-servers.ts';

const never = new AbortController().signal;
let closing: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
});

interface Place {
  readonly address: string;
  readonly member: FakeMember;
  readonly queues: WorkerQueues;
  stop(): void;
}

/** Members `a`, `b` … on loopback, each knowing where the others are. The first one leads. */
async function cluster(size: number): Promise<Place[]> {
  const ports = await freePorts(size);
  const ids = ['a', 'b', 'c'].slice(0, size).map(memberId);
  const members = ids.map((id, i) => ({ id, clientAddress: `127.0.0.1:${ports[i]}`, peerAddress: `${id}:1` }));
  const places: Place[] = [];
  for (const { id, clientAddress } of members) {
    const member = new FakeMember();
    const queues = new WorkerQueues(systemClock);
    const api = createApi({
      member,
      clusterId: clusterId('test'),
      memberId: id,
      members,
      identify: async () => ({ ok: false, error: 'not asked' }),
      version: 'test',
      logger: captureLogger([]),
      workers: queues,
    });
    const server = new Server(serverOptions('client'));
    api.addTo(server);
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(clientAddress, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      ),
    );
    closing.push(() => server.forceShutdown());
    places.push({ address: clientAddress, member, queues, stop: () => server.forceShutdown() });
  }
  moveTo(places, 0);
  return places;
}

function moveTo(places: readonly Place[], leader: number): void {
  const id = memberId(['a', 'b', 'c'][leader] ?? 'a');
  for (const [i, { member, queues }] of places.entries()) {
    member.raftFields = { leader: id, role: i === leader ? 'leader' : 'follower' };
    if (i !== leader) queues.close();
  }
  places[leader]?.queues.open();
}

function first(places: readonly Place[]): Place {
  const [place] = places;
  if (place === undefined) throw new Error('no place');
  return place;
}

const METHOD = methodDefinition(CompensationWorkerService.method.work);

/** A stream as a worker in another language would have it. */
class RawWorker {
  readonly heard: WorkResponse['message'][] = [];
  ended: ParsedStatus | 'ok' | null = null;
  readonly #stream: ClientDuplexStream<Buffer, WorkResponse>;

  constructor(address: string) {
    const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    closing.push(() => client.close());
    this.#stream = client.makeBidiStreamRequest(
      METHOD.path,
      (bytes: Buffer) => bytes,
      METHOD.responseDeserialize,
      new Metadata(),
    );
    this.#stream.on('data', ({ message }: WorkResponse) => this.heard.push(message));
    this.#stream.on('error', (error) => {
      this.ended = parseStatus(error);
    });
    this.#stream.on('end', () => {
      this.ended ??= 'ok';
    });
  }

  say(message: Parameters<typeof METHOD.requestSerialize>[0]['message']): void {
    this.raw(METHOD.requestSerialize({ $typeName: 'quorate.v1.WorkRequest', message }));
  }

  open(queues: string[] = ['q'], capacity = 0): void {
    this.say({ case: 'open', value: { $typeName: 'quorate.v1.WorkOpen', queues, capacity } });
  }

  answer(task: bigint, outcome: WorkOutcome, error = ''): void {
    this.say({ case: 'answer', value: { $typeName: 'quorate.v1.WorkAnswer', task, outcome, error } });
  }

  raw(bytes: Buffer): void {
    this.#stream.write(bytes);
  }
  half(): void {
    this.#stream.end();
  }
  vanish(): void {
    this.#stream.cancel();
  }
}

const reasonOf = (worker: RawWorker) =>
  vi.waitFor(() => {
    if (worker.ended === null || worker.ended === 'ok') throw new Error('not yet');
    return worker.ended;
  });

describe('L2: CompensationWorkerService', () => {
  test('first the welcome, then tasks; each answer is the outcome', async () => {
    const { address, queues } = first(await cluster(1));
    const call = queues.call(aCall({ target: 'q' }), never);
    const worker = new RawWorker(address);
    worker.open();
    await vi.waitFor(() => expect(worker.heard.map((one) => one.case)).toEqual(['opened', 'task']));
    expect(worker.heard[0]?.value).toMatchObject({ memberId: 'a' });
    const request = { key: 'vm-1', token: 41n, attempt: 1, confirmed: true, loop: 'loop', g: 3n, payload: '{"vm":1}' };
    expect(worker.heard[1]?.value).toMatchObject({ queue: 'q', request });
    worker.answer(1n, WorkOutcome.DONE);
    expect(await call).toEqual({ kind: 'done' });
    const failing = queues.call(aCall({ target: 'q' }), never);
    worker.answer(2n, WorkOutcome.FAILED, 'no luck');
    expect(await failing).toEqual({ kind: 'failed', error: 'no luck' });
    const stale = queues.call(aCall({ target: 'q' }), never);
    worker.answer(3n, WorkOutcome.STALE);
    expect(await stale).toEqual({ kind: 'stale' });
  });

  test.each<[string, (worker: RawWorker) => void, RegExp]>([
    [
      'an answer before the opening',
      (worker) => worker.answer(1n, WorkOutcome.DONE),
      /open: must be the first message/,
    ],
    ['no queue', (worker) => worker.open([]), /open.queues: must name 1 to 64/],
    [
      'too many queues',
      (worker) => worker.open(Array.from({ length: 65 }, (_, i) => `q${i}`)),
      /1 to 64 queues, not 65/,
    ],
    ['a queue without a name', (worker) => worker.open(['q', '']), /open.queues\[1\]: /],
    ['too much capacity', (worker) => worker.open(['q'], 1_025), /open.capacity: must be at most 1024/],
    ['neither', (worker) => worker.raw(Buffer.alloc(0)), /open: must be the first message/],
    ['bytes that are no message', (worker) => worker.raw(Buffer.from([0xff, 0xff])), /the request is not a quorate/],
  ])('%s is an invalid argument', async (_what, say, expected) => {
    const { address } = first(await cluster(1));
    const worker = new RawWorker(address);
    say(worker);
    expect(await reasonOf(worker)).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      message: expect.stringMatching(expected),
    });
  });

  test.each<[string, (worker: RawWorker) => void, RegExp]>([
    ['a second opening', (worker) => worker.open(), /open: only the first message/],
    ['an answer without an outcome', (worker) => worker.answer(1n, WorkOutcome.UNSPECIFIED), /answer.outcome: must be/],
    ['an outcome that nobody knows', (worker) => worker.answer(1n, 77 as WorkOutcome), /answer.outcome: must be/],
  ])('%s ends the stream, and the task has failed', async (_what, say, expected) => {
    const { address, queues } = first(await cluster(1));
    const worker = new RawWorker(address);
    worker.open();
    const call = queues.call(aCall({ target: 'q', deadlineMs: 20_000 }), never);
    await vi.waitFor(() => expect(worker.heard.at(-1)?.case).toBe('task'));
    say(worker);
    expect(await reasonOf(worker)).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      message: expect.stringMatching(expected),
    });
    expect(await call).toEqual({ kind: 'failed', error: 'the worker has gone' });
  });

  test.each<[string, (worker: RawWorker) => void]>([
    ['vanishes', (worker) => worker.vanish()],
    ['has nothing more to say', (worker) => worker.half()],
  ])('a worker that %s gives its task back as a failed try', async (_what, leave) => {
    const { address, queues } = first(await cluster(1));
    const worker = new RawWorker(address);
    worker.open();
    const call = queues.call(aCall({ target: 'q', deadlineMs: 20_000 }), never);
    await vi.waitFor(() => expect(worker.heard.at(-1)?.case).toBe('task'));
    leave(worker);
    expect(await call).toEqual({ kind: 'failed', error: 'the worker has gone' });
  });

  test('a task whose time is over is withdrawn, and a late answer or one of another task does no harm', async () => {
    const { address, queues } = first(await cluster(1));
    const worker = new RawWorker(address);
    worker.open();
    expect(await queues.call(aCall({ target: 'q', deadlineMs: 200 }), never)).toMatchObject({ kind: 'failed' });
    await vi.waitFor(() => expect(worker.heard.map((one) => one.case)).toEqual(['opened', 'task', 'withdrawn']));
    worker.answer(1n, WorkOutcome.DONE);
    worker.answer(2n ** 64n - 1n, WorkOutcome.DONE);
    const next = queues.call(aCall({ target: 'q', deadlineMs: 20_000 }), never);
    await vi.waitFor(() => expect(worker.heard.at(-1)?.case).toBe('task'));
    worker.answer(2n, WorkOutcome.DONE);
    expect(await next).toEqual({ kind: 'done' });
  });

  test('a member that does not lead says who does; so does one that stops to lead', async () => {
    const places = await cluster(2);
    const [a, b] = places;
    const refused = new RawWorker(b?.address ?? '');
    refused.open();
    const notLeader = { reason: 'NOT_LEADER', metadata: { leader: 'a', leader_address: a?.address } };
    expect(await reasonOf(refused)).toMatchObject(notLeader);
    const worker = new RawWorker(a?.address ?? '');
    worker.open();
    await vi.waitFor(() => expect(worker.heard).toHaveLength(1));
    moveTo(places, 1);
    const moved = { reason: 'NOT_LEADER', metadata: { leader: 'b', leader_address: b?.address } };
    expect(await reasonOf(worker)).toMatchObject(moved);
  });
});

describe('L2: the worker of the client library', () => {
  async function start(endpoints: readonly string[], compensate: (one: Compensation) => Promise<'done' | 'stale'>) {
    const stop = new AbortController();
    const opened: string[] = [];
    const onOpen = (address: string): void => void opened.push(address);
    const ended = runCompensationWorker({
      endpoints,
      queues: ['q'],
      capacity: 2,
      compensate,
      signal: stop.signal,
      onOpen,
    });
    closing.push(async () => {
      stop.abort();
      await ended;
    });
    return { stop, opened, ended };
  }

  test('takes tasks, and says what came of them', async () => {
    const { address, queues } = first(await cluster(1));
    const seen: Compensation[] = [];
    await start([address], async (one) => {
      seen.push(one);
      if (one.key === 'bad') throw new Error('no luck');
      return one.key === 'old' ? 'stale' : 'done';
    });
    const ask = (key: string) => queues.call(aCall({ key, target: 'q', deadlineMs: 20_000 }), never);
    expect(await Promise.all([ask('good'), ask('old'), ask('bad')])).toEqual([
      { kind: 'done' },
      { kind: 'stale' },
      { kind: 'failed', error: 'no luck' },
    ]);
    const { signal: _, deadlineMs: __, ...fields } = seen[0] as Compensation;
    expect(fields).toEqual({
      queue: 'q',
      key: 'good',
      token: 41,
      attempt: 1,
      confirmed: true,
      loop: 'loop',
      g: 3,
      phase: 'CONSTRUCT',
      traceId: 'trace',
      payload: '{"vm":1}',
    });
  });

  test('finds the leader, and follows it', async () => {
    const places = await cluster(3);
    const [a, b, c] = places;
    const { opened } = await start([c?.address ?? ''], async () => 'done');
    await vi.waitFor(() => expect(opened).toEqual([a?.address]));
    moveTo(places, 1);
    await vi.waitFor(() => expect(opened).toEqual([a?.address, b?.address]), 5_000);
    expect(await b?.queues.call(aCall({ target: 'q', deadlineMs: 20_000 }), never)).toEqual({ kind: 'done' });
    b?.stop();
    moveTo(places, 2);
    await vi.waitFor(() => expect(opened.at(-1)).toBe(c?.address), 10_000);
  });

  test('a task that is withdrawn fires its signal, and its answer is kept back', async () => {
    const { address, queues } = first(await cluster(1));
    let fired = 0;
    await start([address], async ({ signal, key }) => {
      if (key === 'quick') return 'done';
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      fired++;
      return 'done';
    });
    expect(await queues.call(aCall({ key: 'slow', target: 'q', deadlineMs: 300 }), never)).toMatchObject({
      kind: 'failed',
    });
    await vi.waitFor(() => expect(fired).toBe(1));
    expect(await queues.call(aCall({ key: 'quick', target: 'q' }), never)).toEqual({ kind: 'done' });
  });

  test('when it is stopped, its tasks are given back at once', async () => {
    const { address, queues } = first(await cluster(1));
    const { stop, ended, opened } = await start([address], () => new Promise(() => undefined));
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    const call = queues.call(aCall({ target: 'q', deadlineMs: 20_000 }), never);
    stop.abort();
    expect(await call).toMatchObject({ kind: 'failed' });
    await ended;
  });

  test('a mistake of the options is told, and nothing else ends it', async () => {
    const { address } = first(await cluster(1));
    const options = { endpoints: [address], queues: [], compensate: async () => 'done' as const, signal: never };
    await expect(runCompensationWorker(options)).rejects.toMatchObject({ reason: 'INVALID_ARGUMENT' });
    await expect(runCompensationWorker({ ...options, endpoints: [] })).rejects.toThrow(RangeError);
  });
});
