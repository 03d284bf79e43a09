/** P4 at the API: watches begin, filter, resume, respect a slow reader, and end for a reason that says what to do. */
import { create } from '@bufbuild/protobuf';
import { type ClientReadableStream, status as Code } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
  WatchService,
} from '../../src/gen/quorate/v1/watch_pb.ts';
import type { MachineEvent } from '../../src/machine/types.ts';
import { methodDefinition } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import { must } from '../../src/types/assert.ts';
import { revision } from '../../src/types/ids.ts';
import { WATCH_MESSAGE_BYTES_MAX } from '../../src/types/limits.ts';
import type { FakeFeed } from './fake-feed.ts';
import { event, TestApi } from './support.ts';

const WAIT = { timeout: 10_000, interval: 5 };
const { path, requestSerialize, responseDeserialize } = methodDefinition(WatchService.method.watch);

let api: TestApi;
const streams: ClientReadableStream<WatchResponse>[] = [];

async function startApi(watchProgressMs?: number): Promise<void> {
  api = await new TestApi(watchProgressMs).start();
}

beforeEach(() => startApi());
afterEach(() => {
  for (const stream of streams.splice(0)) stream.cancel();
  api.stop();
});

interface Watch {
  readonly stream: ClientReadableStream<WatchResponse>;
  readonly responses: WatchResponse[];
  readonly status: Promise<ParsedStatus>;
}

function watch(fields: Partial<Pick<WatchRequest, 'fromRevision' | 'loop'>> = {}): Watch {
  const request = create(WatchRequestSchema, fields);
  const stream = api.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  streams.push(stream);
  const status = new Promise<ParsedStatus>((resolve) => stream.on('status', (end) => resolve(parseStatus(end))));
  stream.on('error', () => {});
  const responses: WatchResponse[] = [];
  stream.on('data', (response: WatchResponse) => void responses.push(response));
  return { stream, responses, status };
}

async function feedOf(at = 0): Promise<FakeFeed> {
  await vi.waitFor(() => expect(api.member.watches.length).toBeGreaterThan(at), WAIT);
  return must(api.member.watches[at], 'watch').feed;
}

function push(feed: FakeFeed, ...events: MachineEvent[]): void {
  feed.push({ kind: 'events', events });
}

/** [revision of the message, [revision, ordinal] of its events] */
function shape(responses: readonly WatchResponse[]): unknown[] {
  return responses.map(({ revision: upTo, events }) => [
    Number(upTo),
    events.map((one) => [Number(one.revision), one.ordinal]),
  ]);
}

describe('a watch', () => {
  it('from now on says first where now is', async () => {
    const { responses } = watch();
    await vi.waitFor(() => expect(shape(responses)).toEqual([[41, []]]), WAIT);
    expect(api.member.watches[0]?.from).toBe(0);
  });

  it('from a revision says first that nothing is delivered yet', async () => {
    const { responses } = watch({ fromRevision: 10n });
    await vi.waitFor(() => expect(shape(responses)).toEqual([[9, []]]), WAIT);
    expect(api.member.watches[0]?.from).toBe(10);
  });

  it('brings events in order, whole revisions to a message', async () => {
    const { responses } = watch();
    const feed = await feedOf();
    push(feed, event(42, 0), event(42, 1));
    push(feed, event(45, 0), event(47, 0));
    await vi.waitFor(() => expect(responses).toHaveLength(3), WAIT);
    expect(shape(responses.slice(1))).toEqual([
      [
        42,
        [
          [42, 0],
          [42, 1],
        ],
      ],
      [
        47,
        [
          [45, 0],
          [47, 0],
        ],
      ],
    ]);
    expect(responses[1]?.events[0]).toMatchObject({
      timeMs: 1000n,
      kind: 'phase_transition.started',
      loop: 'l',
      g: 1n,
      phase: 'p',
      attempt: 1n,
      caller: 'agent',
      traceId: 'trace',
      vectorClock: { entries: [{ node: 'agent', counter: 1n }] },
    });
  });

  it('leaves out what was counted as delivered from the start', async () => {
    const { responses } = watch();
    push(await feedOf(), event(40, 0), event(41, 0), event(42, 0));
    await vi.waitFor(
      () =>
        expect(shape(responses)).toEqual([
          [41, []],
          [42, [[42, 0]]],
        ]),
      WAIT,
    );
  });

  it('of one loop leaves the others out, but counts them', async () => {
    const { responses } = watch({ loop: 'l' });
    const feed = await feedOf();
    push(feed, event(42, 0, { loop: 'other' }));
    push(feed, event(43, 0), event(44, 0, { loop: 'other' }));
    await vi.waitFor(
      () =>
        expect(shape(responses)).toEqual([
          [41, []],
          [44, [[43, 0]]],
        ]),
      WAIT,
    );
  });

  it('of one loop says how far it has come, though nothing passes the filter', async () => {
    api.stop();
    await startApi(40);
    const { responses } = watch({ loop: 'l' });
    push(await feedOf(), event(99, 0, { loop: 'other' }));
    await vi.waitFor(() => expect(shape(responses.slice(-1))).toEqual([[99, []]]), WAIT);
    const notices = responses.length;
    await vi.waitFor(() => expect(responses.length).toBeGreaterThan(notices + 1), WAIT);
  });

  it('cuts large batches between revisions', async () => {
    const { responses } = watch();
    const traceId = 'x'.repeat(100_000);
    const events = [1, 2, 3, 4, 5, 6].flatMap((i) => [event(50 + i, 0, { traceId }), event(50 + i, 1, { traceId })]);
    push(await feedOf(), ...events);
    await vi.waitFor(() => expect(responses.at(-1)?.revision).toBe(56n), WAIT);
    expect(responses.length).toBeGreaterThan(2);
    for (const { events: part } of responses) {
      expect(part.length * traceId.length).toBeLessThan(WATCH_MESSAGE_BYTES_MAX + 2 * traceId.length);
      // Two events for each revision: never one without the other.
      expect(part.length % 2).toBe(0);
    }
    expect(responses.flatMap((response) => response.events)).toHaveLength(12);
  });

  it('stops reading from the feed while the client reads nothing, and goes on when it does', async () => {
    const { stream, responses } = watch();
    const feed = await feedOf();
    await vi.waitFor(() => expect(responses).toHaveLength(1), WAIT);
    stream.pause();
    const batches = 400;
    const traceId = 'x'.repeat(100_000);
    for (let i = 0; i < batches; i += 1) push(feed, event(100 + i, 0, { traceId }));
    // It comes to rest: several turns without another batch taken.
    let before = -1;
    await vi.waitFor(
      () => {
        const { taken } = feed;
        const rested = taken === before && taken > 0;
        before = taken;
        expect(rested).toBe(true);
      },
      { timeout: 10_000, interval: 50 },
    );
    expect(feed.taken).toBeLessThan(batches / 2);
    stream.resume();
    await vi.waitFor(() => expect(responses.at(-1)?.revision).toBe(BigInt(100 + batches - 1)), WAIT);
    expect(responses.flatMap((one) => one.events.map((it) => Number(it.revision)))).toEqual(
      Array.from({ length: batches }, (_, i) => 100 + i),
    );
  });

  it('R2: ends when the member is removed from the cluster: no event would ever come', async () => {
    api.stop();
    await startApi(40);
    const { status } = watch();
    const feed = await feedOf();
    api.member.statusFields = { removed: true };
    expect(await status).toMatchObject({ code: Code.UNAVAILABLE, reason: 'MEMBER_REMOVED' });
    expect(feed.closed).toBe(true);
  });

  it('closes its feed when the client goes', async () => {
    const { stream } = watch();
    const feed = await feedOf();
    stream.cancel();
    await vi.waitFor(() => expect(feed.closed).toBe(true), WAIT);
  });

  it('closes its feed when the client goes while it is slow', async () => {
    const { stream } = watch();
    const feed = await feedOf();
    stream.pause();
    for (let i = 0; i < 200; i += 1) push(feed, event(100 + i, 0, { traceId: 'x'.repeat(100_000) }));
    await vi.waitFor(() => expect(feed.taken).toBeGreaterThan(1), WAIT);
    stream.cancel();
    await vi.waitFor(() => expect(feed.closed).toBe(true), WAIT);
  });
});

describe('a watch ends', () => {
  it.each<readonly [string, Parameters<FakeFeed['push']>[0], object]>([
    [
      'when the history is gone',
      { kind: 'compacted', firstRevision: revision(77) },
      { code: Code.OUT_OF_RANGE, reason: 'COMPACTED', metadata: { first_revision: '77' } },
    ],
    [
      'when the reader is too slow',
      { kind: 'overflow' },
      {
        code: Code.RESOURCE_EXHAUSTED,
        reason: 'WATCH_TOO_SLOW',
        metadata: { resume_revision: '43' },
        retryAfterMs: 100,
      },
    ],
    ['when the member stops', { kind: 'closed' }, { code: Code.UNAVAILABLE, reason: 'SHUTTING_DOWN' }],
  ])('%s', async (_, end, expected) => {
    const { responses, status } = watch();
    const feed = await feedOf();
    push(feed, event(42, 0));
    feed.push(end);
    expect(await status).toMatchObject(expected);
    // What came before the end was delivered.
    expect(responses.at(-1)?.revision).toBe(42n);
    expect(feed.closed).toBe(true);
  });

  it('before it begins when there are too many', async () => {
    api.member.watchesFull = true;
    expect(await watch().status).toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      reason: 'OVERLOADED',
      retryAfterMs: 100,
    });
  });

  it.each<readonly [object, string]>([
    [{ fromRevision: 2n ** 53n }, 'from_revision'],
    [{ loop: 'no spaces' }, 'loop'],
  ])('before it begins when the request is wrong: %o', async (fields, field) => {
    const status = await watch(fields).status;
    expect(status).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' });
    expect(status.violations.map((violation) => violation.field)).toEqual([field]);
    expect(api.member.watches).toEqual([]);
  });

  it('before it begins when the bytes are no request', async () => {
    const garbage = Buffer.from('0aff01', 'hex');
    const stream = api.client.makeServerStreamRequest(path, (bytes: Buffer) => bytes, responseDeserialize, garbage);
    const status = await new Promise<ParsedStatus>((resolve) => {
      stream.on('error', () => {});
      stream.on('data', () => {});
      stream.on('status', (end) => resolve(parseStatus(end)));
    });
    expect(status).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' });
  });
});
