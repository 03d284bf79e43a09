import { createConnection } from 'node:net';
import { Client, status as Code, credentials, Server } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { PeerService } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import { rawDefinition } from '../../src/rpc/service.ts';
import { LogThrottle } from '../../src/transport/log-throttle.ts';
import { must } from '../../src/types/assert.ts';
import { memberId } from '../../src/types/ids.ts';
import { exchange, frameOf, futureHello, heartbeatMessage, hello } from './by-hand.ts';
import {
  append,
  bind,
  connected,
  freePort,
  heartbeat,
  type MemberInit,
  sequences,
  startMember,
  type TestMember,
} from './support.ts';

const WAIT = { timeout: 10_000, interval: 5 };
const running: { stop(): Promise<void> }[] = [];

async function member(init: MemberInit): Promise<TestMember> {
  const started = await startMember(init);
  running.push(started);
  return started;
}

afterEach(async () => {
  for (const it of running.splice(0)) await it.stop();
});

/** Members a, b, c … that know one another. */
async function cluster(names: readonly string[], init: Partial<MemberInit> = {}): Promise<TestMember[]> {
  const ports = await Promise.all(names.map(() => freePort()));
  const peers = Object.fromEntries(names.map((name, i) => [name, must(ports[i], 'port')]));
  const members = [];
  for (const [i, id] of names.entries())
    members.push(await member({ id, port: must(ports[i], 'port'), peers, ...init }));
  for (const one of members)
    for (const other of members)
      if (one !== other) await vi.waitFor(() => expect(connected(one, other.id)).toBe(true), WAIT);
  return members;
}

async function pair(init: Partial<MemberInit> = {}): Promise<[TestMember, TestMember]> {
  const [a, b] = await cluster(['a', 'b'], init);
  return [must(a, 'a'), must(b, 'b')];
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('delivery', () => {
  it('brings envelopes to the other side, whole and in order', async () => {
    const [a, b] = await pair();
    for (const i of range(0, 500)) a.transport.send(b.id, heartbeat(a.id, b.id, i));
    for (const i of range(0, 500)) b.transport.send(a.id, heartbeat(b.id, a.id, i));
    await vi.waitFor(() => expect(b.received).toHaveLength(500), WAIT);
    await vi.waitFor(() => expect(a.received).toHaveLength(500), WAIT);
    expect(sequences(b)).toEqual(range(0, 500));
    expect(sequences(a)).toEqual(range(0, 500));
    expect(b.received.every(({ from }) => from === a.id)).toBe(true);
    expect(b.received[7]?.envelope).toEqual(heartbeat(a.id, b.id, 7));
  });

  it('connects each pair of three members, both ways', async () => {
    const members = await cluster(['a', 'b', 'c']);
    for (const from of members)
      for (const to of members) if (from !== to) from.transport.send(to.id, heartbeat(from.id, to.id, 1));
    for (const one of members) await vi.waitFor(() => expect(one.received).toHaveLength(2), WAIT);
  });

  it('sends what one turn produced in one frame', async () => {
    const [a, b] = await pair();
    for (const i of range(0, 100)) a.transport.send(b.id, heartbeat(a.id, b.id, i));
    await vi.waitFor(() => expect(b.received).toHaveLength(100), WAIT);
    expect(a.transport.status()[0]).toMatchObject({ sentFrames: 1, sentMessages: 100 });
  });

  it('cuts frames at the byte cap, and lets one larger envelope travel alone', async () => {
    const [a, b] = await pair({ limits: { frameBytesMax: 10_000 } });
    const payload = new Uint8Array(4_000).fill(7);
    for (let i = 0; i < 6; i += 1) a.transport.send(b.id, append(a.id, b.id, [payload]));
    a.transport.send(b.id, append(a.id, b.id, [new Uint8Array(50_000).fill(9)]));
    await vi.waitFor(() => expect(b.received).toHaveLength(7), WAIT);
    expect(a.transport.status()[0]?.sentFrames).toBe(4);
  });

  it('brings large appends through', async () => {
    const [a, b] = await pair();
    const payloads = range(0, 4).map((i) => new Uint8Array(256 * 1024).fill(i));
    for (let i = 0; i < 8; i += 1) a.transport.send(b.id, append(a.id, b.id, payloads));
    await vi.waitFor(() => expect(b.received).toHaveLength(8), WAIT);
    const envelope = must(b.received[7], 'the last append').envelope;
    const entries =
      envelope.kind === 'raft' && envelope.message.kind === 'appendRequest' ? envelope.message.entries : [];
    // Not toEqual, which takes seconds for megabytes.
    expect(payloads.map((payload, i) => Buffer.compare(payload, must(entries[i], 'entry').payload))).toEqual([
      0, 0, 0, 0,
    ]);
  });

  it('ignores a receiver that it does not know', async () => {
    const [a] = await pair();
    a.transport.send(memberId('nobody'), heartbeat(a.id, memberId('nobody'), 1));
    expect(a.unreachable).toEqual([]);
  });
});

describe('trouble', () => {
  it('reports a broken stream and comes back when the peer is back', async () => {
    const [portA, portB] = [await freePort(), await freePort()];
    const peers = { a: portA, b: portB };
    const a = await member({ id: 'a', port: portA, peers });
    const first = await member({ id: 'b', port: portB, peers });
    await vi.waitFor(() => expect(connected(a, first.id)).toBe(true), WAIT);
    await first.stop();
    await vi.waitFor(() => expect(a.unreachable).toEqual([first.id]), WAIT);
    // Nobody is there: dropped, without complaint.
    a.transport.send(first.id, heartbeat(a.id, first.id, 1));
    expect(a.transport.status()[0]).toMatchObject({ connected: false, queuedMessages: 0, droppedMessages: 1 });
    const second = await member({ id: 'b', port: portB, peers });
    await vi.waitFor(() => expect(connected(a, second.id)).toBe(true), WAIT);
    await vi.waitFor(() => expect(connected(second, a.id)).toBe(true), WAIT);
    a.transport.send(second.id, heartbeat(a.id, second.id, 2));
    await vi.waitFor(() => expect(sequences(second)).toEqual([2]), WAIT);
  });

  it('keeps the queue within its bounds and says once that envelopes were lost', async () => {
    const [a, b] = await pair({ limits: { queueMessagesMax: 10 } });
    for (const i of range(0, 1000)) a.transport.send(b.id, heartbeat(a.id, b.id, i));
    expect(a.transport.status()[0]).toMatchObject({ queuedMessages: 10, droppedMessages: 990 });
    expect(a.unreachable).toEqual([]);
    await vi.waitFor(() => expect(a.unreachable).toEqual([b.id]), WAIT);
    await vi.waitFor(() => expect(sequences(b)).toEqual(range(0, 10)), WAIT);
    a.transport.send(b.id, heartbeat(a.id, b.id, 1000));
    await vi.waitFor(() => expect(sequences(b)).toEqual([...range(0, 10), 1000]), WAIT);
  });

  it('bounds the bytes of a peer that does not read, then goes on when it does', async () => {
    const [a, b] = await pair({ limits: { queueBytesMax: 1_000_000 } });
    const payload = new Uint8Array(100_000);
    let sent = 0;
    while (a.transport.status()[0]?.droppedMessages === 0) {
      a.transport.send(b.id, append(a.id, b.id, [payload]));
      sent += 1;
    }
    expect(sent).toBe(10);
    expect(a.transport.status()[0]?.queuedBytes).toBeLessThanOrEqual(1_000_000);
    await vi.waitFor(() => expect(b.received).toHaveLength(9), WAIT);
  });

  it('gives a connection up that answers no hello', async () => {
    // Listens, takes the stream and stays silent.
    const silent = new Server();
    silent.addService(rawDefinition(PeerService), { exchange: () => {} });
    const portB = await bind(silent, 0);
    running.push({ stop: async () => silent.forceShutdown() });
    const a = await member({ id: 'a', port: 0, peers: { b: portB }, limits: { helloTimeoutMs: 50 } });
    await vi.waitFor(() => expect(a.log.map((line) => line.msg)).toContain('cannot reach peer'), WAIT);
    expect(a.log[0]?.why).toContain('no answer from');
    expect(a.unreachable).toEqual([]);
  });
});

describe('hello', () => {
  it('keeps members of different clusters apart, and does not flood the log', async () => {
    const [portA, portB] = [await freePort(), await freePort()];
    const peers = { a: portA, b: portB };
    const a = await member({ id: 'a', port: portA, peers, cluster: 'one' });
    const b = await member({ id: 'b', port: portB, peers, cluster: 'two' });
    const whys = (of: TestMember, msg: string): string =>
      of.log
        .filter((line) => line.msg.startsWith(msg))
        .map((line) => line.why)
        .join();
    await vi.waitFor(() => expect(whys(a, 'cannot reach peer')).toContain('belongs to cluster two'), WAIT);
    await vi.waitFor(() => expect(whys(b, 'refused a stream')).toContain('belongs to cluster two'), WAIT);
    const refusals = vi.fn();
    const probe = new Client(`127.0.0.1:${portB}`, credentials.createInsecure());
    for (let i = 0; i < 20; i += 1) refusals((await exchange(probe, [hello('one', 'a', 'b')])).reason);
    probe.close();
    expect(refusals).toHaveBeenCalledTimes(20);
    expect(new Set(refusals.mock.calls.flat())).toEqual(new Set(['WRONG_CLUSTER']));
    // One line for the peer's own attempts and this probe: they share host and reason.
    expect(b.log.filter((line) => line.msg.startsWith('refused'))).toHaveLength(1);
    expect(a.received).toEqual([]);
    expect(b.received).toEqual([]);
  });

  const cases: readonly (readonly [string, () => Buffer[], Code, string])[] = [
    ['another cluster', () => [hello('other', 'b', 'a')], Code.FAILED_PRECONDITION, 'WRONG_CLUSTER'],
    ['a member that is not on the list', () => [hello('test', 'x', 'a')], Code.PERMISSION_DENIED, 'UNKNOWN_MEMBER'],
    ['the member itself', () => [hello('test', 'a', 'a')], Code.PERMISSION_DENIED, 'UNKNOWN_MEMBER'],
    ['a hello for someone else', () => [hello('test', 'b', 'c')], Code.FAILED_PRECONDITION, 'WRONG_MEMBER'],
    ['another version', () => [futureHello()], Code.FAILED_PRECONDITION, 'WRONG_PROTOCOL_VERSION'],
    ['no hello', () => [frameOf([heartbeatMessage('b', 'a')])], Code.INVALID_ARGUMENT, 'HELLO_EXPECTED'],
    ['nothing', () => [], Code.DEADLINE_EXCEEDED, 'HELLO_EXPECTED'],
    ['bytes that are no frame', () => [Buffer.from('ffffffffffffff', 'hex')], Code.INVALID_ARGUMENT, 'MALFORMED_FRAME'],
    ['two hellos', () => [hello('test', 'b', 'a'), hello('test', 'b', 'a')], Code.INVALID_ARGUMENT, 'MALFORMED_FRAME'],
    [
      'a message in the name of another member',
      () => [hello('test', 'b', 'a'), frameOf([heartbeatMessage('c', 'a')])],
      Code.INVALID_ARGUMENT,
      'MALFORMED_FRAME',
    ],
    [
      'a message for another member',
      () => [hello('test', 'b', 'a'), frameOf([heartbeatMessage('b', 'c')])],
      Code.INVALID_ARGUMENT,
      'MALFORMED_FRAME',
    ],
    [
      'an envelope without a body',
      () => [hello('test', 'b', 'a'), frameOf([{ case: undefined }])],
      Code.INVALID_ARGUMENT,
      'MALFORMED_FRAME',
    ],
  ];
  it.each(cases)('refuses %s', async (_, frames, code, reason) => {
    const a = await member({ id: 'a', port: 0, peers: { b: await freePort(), c: await freePort() } });
    const client = new Client(`127.0.0.1:${a.port}`, credentials.createInsecure());
    const status = await exchange(client, frames());
    client.close();
    expect(status).toMatchObject({ code, reason });
    expect(a.received).toEqual([]);
  });

  it('takes the newer stream of a peer that comes twice', async () => {
    const a = await member({ id: 'a', port: 0, peers: { b: await freePort() } });
    const [one, two] = [0, 1].map(() => new Client(`127.0.0.1:${a.port}`, credentials.createInsecure()));
    const first = exchange(must(one, 'client'), [hello('test', 'b', 'a')], true);
    await vi.waitFor(() => expect(first.answered).toBe(true), WAIT);
    const second = exchange(
      must(two, 'client'),
      [hello('test', 'b', 'a'), frameOf([heartbeatMessage('b', 'a')])],
      true,
    );
    expect(await first).toMatchObject({ code: Code.ABORTED, reason: 'SUPERSEDED' });
    await vi.waitFor(() => expect(a.received).toHaveLength(1), WAIT);
    a.transport.stop();
    expect((await second).code).toBe(Code.UNAVAILABLE);
    for (const client of [one, two]) client?.close();
  });

  it('bounds the streams that have not said hello', async () => {
    const a = await member({ id: 'a', port: 0, peers: {}, limits: { unknownStreamsMax: 2, helloTimeoutMs: 5_000 } });
    const client = new Client(`127.0.0.1:${a.port}`, credentials.createInsecure());
    const streams = [0, 1, 2].map(() => exchange(client, [], true));
    const status = await Promise.race(streams);
    expect(status).toMatchObject({ code: Code.UNAVAILABLE, reason: 'OVERLOADED' });
    client.close();
  });
});

describe('garbage on the peer port', () => {
  it.each([
    ['text', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['zeroes', '\0'.repeat(4096)],
    ['a preface and noise', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\x7f'.repeat(512)}`],
  ])('%s: closes that connection and harms no other', async (_, bytes) => {
    const [a, b] = await pair();
    await new Promise<void>((resolve) => {
      const socket = createConnection(b.port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
      socket.on('error', () => {});
      socket.on('data', () => {});
      socket.on('close', () => resolve());
    });
    a.transport.send(b.id, heartbeat(a.id, b.id, 5));
    await vi.waitFor(() => expect(sequences(b)).toEqual([5]), WAIT);
  });
});

describe('the log throttle', () => {
  it('lets one line through for each interval, with the count of those held back', () => {
    const throttle = new LogThrottle(1000);
    expect([0, 10, 999, 1000, 1001].map((now) => throttle.due('x', now))).toEqual([0, null, null, 2, null]);
    expect(throttle.due('y', 5)).toBe(0);
  });

  it('forgets subjects rather than grow', () => {
    const throttle = new LogThrottle(1000);
    for (const i of range(0, 300)) expect(throttle.due(`subject ${i}`, 0)).toBe(0);
    expect(throttle.due('subject 299', 1)).toBeNull();
    expect(throttle.due('subject 0', 1)).toBe(0);
  });
});
