/** Calls that pile up share a stream, without being asked to; what is known of each stays the same. */
import { create } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { IndeterminateError, QuorateClient, type QuorateError } from '../../src/client/client.ts';
import { StatusSchema } from '../../src/gen/google/rpc/status_pb.ts';
import type { RequestHeader } from '../../src/gen/quorate/v1/common_pb.ts';
import {
  type CreateLoopRequest,
  CreateLoopRequestSchema,
  CreateLoopResponseSchema,
} from '../../src/gen/quorate/v1/phase_pb.ts';
import { type ExecuteRequest, ExecuteResponseSchema } from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { decodeMessage, encodeMessage } from '../../src/rpc/service.ts';
import { statusError, statusOf } from '../../src/rpc/status.ts';
import { PIPELINE_CALLS_MAX, PIPELINED_REQUEST_BYTES_MAX } from '../../src/types/limits.ts';
import { OneMember } from '../api/one-member.ts';
import { TcpProxy } from '../process/tcp-proxy.ts';
import { FakeMember, type PipelineStream } from './fake-member.ts';

const WAIT = { timeout: 5_000, interval: 2 };
const MANY = 300;
const ENOUGH = new Error('enough');

describe('a client with many calls at once', () => {
  let one: OneMember;
  beforeEach(async () => {
    one = await OneMember.start();
  });
  afterEach(() => one.stop());

  it('has each carried out once, and each answer is that of its call', async () => {
    const client = await one.connect();
    const session = await client.openSession({ ttlMs: 60_000 });
    const names = Array.from({ length: MANY }, (_, i) => `many-${i}`);
    const answers = await Promise.all(
      names.map((name, i) => (i % 2 === 0 ? session : client.withoutSession).createLoop(name)),
    );
    const created = one.mutations.flatMap(({ body }) => (body.kind === 'createLoop' ? [body.loop] : []));
    expect(created.toSorted()).toEqual(names.toSorted());
    // In the order of the commands, each with a revision of its own.
    const order = created.map((name) => answers[names.indexOf(name)]?.revision ?? 0);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(new Set(order).size).toBe(MANY);
    // A refusal comes to the caller whose it is.
    const again = await Promise.allSettled(names.map((name) => client.withoutSession.createLoop(name)));
    expect(
      again.every((two) => two.status === 'rejected' && (two.reason as QuorateError).reason === 'LOOP_EXISTS'),
    ).toBe(true);
  });
});

describe('a connection that breaks, again and again, between a command and its answer', () => {
  let one: OneMember;
  let proxy: TcpProxy;
  beforeEach(async () => {
    one = await OneMember.start();
    proxy = await TcpProxy.start(Number(one.address.split(':')[1]));
    one.advertised = `127.0.0.1:${proxy.port}`;
    let carriedOut = 0;
    one.onMutation = () => {
      carriedOut += 1;
      if (carriedOut % 40 === 0 && proxy.cuts < 4) proxy.cut();
    };
  });
  afterEach(async () => {
    await one.stop();
    await proxy.stop();
  });

  const loops = Array.from({ length: MANY }, (_, i) => `l${i}`);
  const created = (): readonly string[] =>
    one.mutations.flatMap(({ body }) => (body.kind === 'createLoop' ? [body.loop] : []));

  it('does not show in a session: what was sent is sent again under its number, and done once', async () => {
    const client = await one.connect();
    const session = await client.openSession({ ttlMs: 60_000 });
    // A second time would be refused: the loop is there.
    const answers = await Promise.all(loops.map((name) => session.createLoop(name)));
    expect(new Set(answers.map(({ revision }) => revision)).size).toBe(MANY);
    expect(proxy.cuts).toBe(4);
    expect(created().length).toBeGreaterThan(MANY);
    expect(new Set(created()).size).toBe(MANY);
  });

  it('leaves open without a session what was sent, and what is said not to be done is not', async () => {
    const client = await one.connect();
    const outcomes = await Promise.allSettled(loops.map((name) => client.withoutSession.createLoop(name)));
    const times = new Map<string, number>();
    for (const name of created()) times.set(name, (times.get(name) ?? 0) + 1);
    expect(proxy.cuts).toBe(4);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    const open = outcomes.filter((two) => two.status === 'rejected' && two.reason instanceof IndeterminateError);
    expect(open.length).toBeGreaterThan(0);
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') expect(times.get(`l${i}`)).toBe(1);
      else if (!(outcome.reason instanceof IndeterminateError)) expect(times.has(`l${i}`)).toBe(false);
    }
  });
});

describe('a member that is older, full, or gone', () => {
  let member: FakeMember;
  let client: QuorateClient;
  /** Loops that came by a pipeline, and what is done with them. */
  let pipelined: string[];
  let onRequest: (request: CreateLoopRequest) => void;
  let onCalls: (stream: PipelineStream, loops: readonly string[]) => void;
  let release: () => void;

  async function connect(withPipelines: boolean): Promise<void> {
    pipelined = [];
    onRequest = () => undefined;
    onCalls = () => undefined;
    const onPipeline = (stream: PipelineStream): void => {
      stream.on('data', ({ calls }: ExecuteRequest) => {
        const requests = calls.map(({ request }) => decodeMessage(CreateLoopRequestSchema, Buffer.from(request)));
        for (const request of requests) onRequest(request);
        const loops = requests.map(({ loop }) => loop);
        pipelined.push(...loops);
        onCalls(stream, loops);
      });
      stream.on('end', () => stream.end());
    };
    member = await FakeMember.start(withPipelines ? onPipeline : null);
    member.leads(member.address);
    member.gate = new Promise((resolve) => {
      release = resolve;
    });
    client = await QuorateClient.connect({ endpoints: [member.address], caller: 'test', deadlineMs: 10_000 });
  }

  function answer(stream: PipelineStream, revisions: readonly number[]): void {
    const answers = revisions.map((at) => ({
      $typeName: 'quorate.v1.PipelinedAnswer' as const,
      response: encodeMessage(
        CreateLoopResponseSchema,
        create(CreateLoopResponseSchema, { header: { revision: BigInt(at) } }),
      ),
    }));
    stream.write({ $typeName: 'quorate.v1.ExecuteResponse', answers });
  }

  const single = (): readonly string[] =>
    member.requests('createLoop').map(({ request }) => (request as { readonly loop: string }).loop);

  afterEach(async () => {
    release();
    await client.close();
    member.crash();
  });

  const createMany = (count: number) =>
    Promise.allSettled(
      Array.from({ length: count }, (_, i) => client.withoutSession.createLoop(`l${i}`, { deadlineMs: 5_000 })),
    );

  it('is asked one by one when it knows no pipelines', async () => {
    await connect(false);
    const calls = createMany(40);
    await vi.waitFor(() => expect(single()).toHaveLength(40), WAIT);
    release();
    expect((await calls).every(({ status }) => status === 'fulfilled')).toBe(true);
  });

  it('is asked one by one when it has no room for a pipeline', async () => {
    await connect(true);
    onCalls = (stream) =>
      stream.emit('error', statusError({ code: 8, reason: 'NO_PIPELINE', message: 'too many', retryAfterMs: 10 }));
    const calls = createMany(40);
    await vi.waitFor(() => expect(single().length).toBe(40), WAIT);
    release();
    expect((await calls).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(new Set(single()).size).toBe(40);
  });

  it('is asked one by one for what its pipelines do not have', async () => {
    await connect(true);
    const error = create(StatusSchema, { code: 12, message: 'no command that goes through a pipeline' });
    onCalls = (stream, loops) => stream.write(create(ExecuteResponseSchema, { answers: loops.map(() => ({ error })) }));
    const calls = createMany(40);
    await vi.waitFor(() => expect(single()).toHaveLength(40), WAIT);
    release();
    expect((await calls).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(pipelined.length).toBeGreaterThan(0);
  });

  it('says who leads, for each call: the leader gets the same request, as of a call by itself', async () => {
    await connect(true);
    const headers = new Map<string, RequestHeader | undefined>();
    const leader = await FakeMember.start();
    try {
      leader.leads(leader.address);
      onCalls = (stream, loops) => {
        const { metadata } = statusError({
          code: 14,
          reason: 'NOT_LEADER',
          message: 'ask another',
          metadata: { leader_address: leader.address },
        });
        const error = statusOf({ metadata });
        stream.write(create(ExecuteResponseSchema, { answers: loops.map(() => ({ error })) }));
      };
      onRequest = ({ loop, header }) => headers.set(loop, header);
      const session = await client.openSession({ ttlMs: 60_000 });
      const calls = Promise.all(Array.from({ length: 40 }, (_, i) => session.createLoop(`l${i}`)));
      await vi.waitFor(() => expect(headers.size).toBe(32), WAIT);
      await vi.waitFor(() => expect(leader.requests('createLoop').length).toBeGreaterThanOrEqual(32), WAIT);
      release();
      await calls;
      for (const { request, header } of leader.requests('createLoop')) {
        const first = headers.get((request as { readonly loop: string }).loop);
        expect(first).toBeDefined();
        expect([header?.sessionId, header?.sequence]).toEqual([first?.sessionId, first?.sequence]);
      }
    } finally {
      leader.crash();
    }
  });

  it('leaves the outcome open of what it was sent, whatever the stream ends with', async () => {
    await connect(true);
    // A status that would be a definite refusal of a call by itself.
    onCalls = (stream) =>
      stream.emit('error', statusError({ code: 8, reason: 'OVERLOADED', message: 'it ends', retryAfterMs: 10 }));
    const calls = createMany(40);
    await vi.waitFor(() => expect(pipelined.length).toBeGreaterThan(0), WAIT);
    release();
    const outcomes = await calls;
    const sent = new Set(pipelined);
    for (const [i, outcome] of outcomes.entries()) {
      if (sent.has(`l${i}`)) expect(outcome.status === 'rejected' && outcome.reason).toBeInstanceOf(IndeterminateError);
      else expect(outcome.status).toBe('fulfilled');
    }
  });

  it('is given up on at the deadline when it says nothing', async () => {
    await connect(true);
    const calls = Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => client.withoutSession.createLoop(`l${i}`, { deadlineMs: 300 })),
    );
    const outcomes = await calls;
    expect(outcomes.every((one) => one.status === 'rejected' && one.reason instanceof IndeterminateError)).toBe(true);
    expect(pipelined.length).toBeGreaterThan(0);
  });

  it('answers by itself what is large', async () => {
    await connect(true);
    const { documents } = client;
    const puts = Array.from({ length: 60 }, (_, i) =>
      documents.put('l', `d${i}`, 'x'.repeat(PIPELINED_REQUEST_BYTES_MAX)),
    );
    await Promise.all(puts);
    expect(member.requests('putDocument')).toHaveLength(60);
    expect(pipelined).toEqual([]);
  });

  it('takes documents that are made from another version', async () => {
    await connect(true);
    let revisions = 0;
    onCalls = (stream, loops) => answer(stream, Array(loops.length).fill(7));
    const puts = Array.from({ length: 60 }, (_, i) =>
      client.documents.put('l', `d${i}`, 'x', { expectedVersion: 3 }).then(({ revision }) => {
        if (revision === 7) revisions += 1;
      }),
    );
    release();
    await Promise.all(puts);
    // The first ones went before others were under way.
    expect(revisions).toBeGreaterThan(40);
    expect(pipelined).toHaveLength(revisions);
  });

  it('is asked one by one while the front of its pipeline has no answer, and is still who leads', async () => {
    await connect(true);
    let front: PipelineStream | undefined;
    onCalls = (stream) => {
      front = stream;
    };
    const calls = createMany(PIPELINE_CALLS_MAX + 100);
    await vi.waitFor(() => expect(pipelined).toHaveLength(PIPELINE_CALLS_MAX), WAIT);
    const asked = member.requests('getStatus').length;
    release();
    // Those that were not sent.
    await vi.waitFor(() => expect(single()).toHaveLength(100), WAIT);
    const more = createMany(40);
    expect((await more).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(pipelined).toHaveLength(PIPELINE_CALLS_MAX);
    if (front !== undefined) answer(front, Array(PIPELINE_CALLS_MAX).fill(7));
    expect((await calls).every(({ status }) => status === 'fulfilled')).toBe(true);
    expect(member.requests('getStatus')).toHaveLength(asked);
  });

  it('is asked by itself, in a session, for what had no answer in time on a pipeline', async () => {
    await connect(true);
    const session = await client.openSession({ ttlMs: 60_000 });
    const asked = member.requests('getStatus').length;
    const calls = Promise.all(Array.from({ length: 20 }, (_, i) => session.createLoop(`l${i}`)));
    await vi.waitFor(() => expect(pipelined).toHaveLength(12), WAIT);
    release();
    await calls;
    expect(new Set(single()).size).toBe(20);
    // It is asked whether it is alive, once.
    expect(member.requests('getStatus')).toHaveLength(asked + 1);
  });

  it('is not to blame for a call that is given up', async () => {
    await connect(true);
    const calls = createMany(PIPELINE_CALLS_MAX + 8);
    await vi.waitFor(() => expect(pipelined).toHaveLength(PIPELINE_CALLS_MAX), WAIT);
    const asked = member.requests('getStatus').length;
    const controller = new AbortController();
    const given = client.withoutSession.createLoop('given-up', { signal: controller.signal });
    await new Promise((resolve) => setImmediate(resolve));
    controller.abort(ENOUGH);
    await expect(given).rejects.toBe(ENOUGH);
    release();
    // The next one asks nobody who leads.
    await client.documents.put('l', 'd', 'x', { expectedVersion: 3 });
    expect(member.requests('getStatus')).toHaveLength(asked);
    await client.close();
    await calls;
  });

  it('answers in the order of the calls, and a late answer goes to nobody else', async () => {
    await connect(true);
    const held: string[] = [];
    let last: PipelineStream | undefined;
    onCalls = (stream, loops) => {
      last = stream;
      held.push(...loops);
    };
    const controller = new AbortController();
    const filler = createMany(8);
    await vi.waitFor(() => expect(single()).toHaveLength(8), WAIT);
    const given = client.withoutSession.createLoop('given-up', { signal: controller.signal, deadlineMs: 5_000 });
    const kept = client.withoutSession.createLoop('kept', { deadlineMs: 5_000 });
    await vi.waitFor(() => expect(held).toEqual(['given-up', 'kept']), WAIT);
    controller.abort(new Error('enough'));
    await expect(given).rejects.toBeInstanceOf(IndeterminateError);
    if (last !== undefined) answer(last, [11, 12]);
    expect((await kept).revision).toBe(12);
    release();
    await filler;
  });
});
