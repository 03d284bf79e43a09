/** R2, A4: peers that come, go, move and die while a member runs. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Client, status as Code, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Greeting } from '../../src/transport/hello.ts';
import { identifyPeer } from '../../src/transport/identify.ts';
import { must } from '../../src/types/assert.ts';
import { DATA_STREAM, logIndex, type MemberId, memberId } from '../../src/types/ids.ts';
import { err, ok } from '../../src/types/result.ts';
import { exchange, hello } from './by-hand.ts';
import {
  chunk,
  connected,
  freePort,
  heartbeat,
  identityOf,
  type MemberInit,
  sequences,
  startMember,
  type TestMember,
} from './support.ts';

const WAIT = { timeout: 10_000, interval: 5 };
const opened: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const it of opened.splice(0)) await it.stop();
});

async function member(init: Partial<MemberInit> & { readonly id: string }): Promise<TestMember> {
  const started = await startMember({ port: 0, peers: {}, ...init });
  opened.push(started);
  return started;
}

const at = (port: number): string => `127.0.0.1:${port}`;
const [A, B, C] = ['a', 'b', 'c'].map(memberId) as [MemberId, MemberId, MemberId];

describe('R2: peers that are set while the member runs', () => {
  it('are connected to when they are added, and heard', async () => {
    const a = await member({ id: 'a', admits: ['b'] });
    const b = await member({ id: 'b', peers: { a: a.port } });
    expect(a.transport.send(B, heartbeat(A, B, 1))).toBe(false);
    a.transport.setPeers(new Map([[B, at(b.port)]]));
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    expect(a.transport.send(B, heartbeat(A, B, 2))).toBe(true);
    await vi.waitFor(() => expect(sequences(b)).toEqual([2]), WAIT);
  });

  it('keep their streams when others are added or removed', async () => {
    const b = await member({ id: 'b', admits: ['a'] });
    const c = await member({ id: 'c', admits: ['a'] });
    const a = await member({ id: 'a', peers: { b: b.port }, admits: ['b', 'c'] });
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    const ports = new Map([
      [B, at(b.port)],
      [C, at(c.port)],
    ]);
    a.transport.setPeers(ports);
    expect(connected(a, B)).toBe(true);
    await vi.waitFor(() => expect(connected(a, C)).toBe(true), WAIT);
    a.transport.setPeers(new Map([[B, at(b.port)]]));
    expect(a.transport.status().map(({ peer }) => peer)).toEqual([B]);
    expect(a.transport.send(C, heartbeat(A, C, 1))).toBe(false);
    expect([connected(a, B), a.unreachable]).toEqual([true, []]);
  });

  it('are cut off when they are removed: what they sent on the old stream is over', async () => {
    const [portA, portB] = [await freePort(), await freePort()];
    const peers = { a: portA, b: portB };
    const admits: string[] = ['b'];
    const a = await startMember({
      id: 'a',
      port: portA,
      peers,
      identity: {
        admit: async ({ from }) =>
          admits.includes(from) ? ok(undefined) : err({ reason: 'REMOVED', message: `${from} was removed` }),
      },
    });
    opened.push(a);
    const told: string[] = [];
    const b = await member({ id: 'b', port: portB, peers, onRemoved: (by, why) => told.push(`${by}: ${why}`) });
    await vi.waitFor(() => expect([connected(a, B), connected(b, A)]).toEqual([true, true]), WAIT);
    expect(told).toEqual([]);
    admits.pop();
    a.transport.setPeers(new Map());
    // It comes again, is refused, and is told so.
    await vi.waitFor(() => expect(told).toContain('a: b was removed'), WAIT);
    expect(connected(b, A)).toBe(false);
    expect(b.unreachable).toContain(A);
  });

  it('are reached at their new address, and what was on its way is given up loudly', async () => {
    const before = await member({ id: 'b', admits: ['a'] });
    const after = await member({ id: 'b', admits: ['a'] });
    const a = await member({ id: 'a', peers: { b: before.port } });
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    a.transport.setPeers(new Map([[B, at(after.port)]]));
    expect(a.unreachable).toEqual([B]);
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    a.transport.send(B, heartbeat(A, B, 3));
    await vi.waitFor(() => expect(sequences(after)).toEqual([3]), WAIT);
    expect(before.received).toEqual([]);
  });

  it('are reached where they say that they are, when nobody else says it', async () => {
    const portB = await freePort();
    const a = await member({ id: 'a', admits: ['b'] });
    const b = await member({ id: 'b', port: portB, peers: { a: a.port }, identity: { peerAddress: at(portB) } });
    await vi.waitFor(() => expect(a.transport.status().map(({ peer }) => peer)).toEqual([B]), WAIT);
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    a.transport.send(B, heartbeat(A, B, 4));
    await vi.waitFor(() => expect(sequences(b)).toEqual([4]), WAIT);
    // Set without an address: it stays reached.
    a.transport.setPeers(new Map([[B, '']]));
    expect(connected(a, B)).toBe(true);
  });

  it('are forgotten when they go, if they were only met', async () => {
    const portB = await freePort();
    const a = await member({ id: 'a', admits: ['b'] });
    const b = await member({ id: 'b', port: portB, peers: { a: a.port }, identity: { peerAddress: at(portB) } });
    await vi.waitFor(() => expect(a.transport.status()).toHaveLength(1), WAIT);
    await b.stop();
    await vi.waitFor(() => expect(a.transport.status()).toEqual([]), WAIT);
  });

  it('do not lead it to other kinds of addresses', async () => {
    const a = await member({ id: 'a', admits: ['b'] });
    const client = new Client(at(a.port), credentials.createInsecure());
    for (const peerAddress of ['unix:/run/x', 'dns:///h:1', 'h', 'h:0', 'h:99999', ' h:1', 'h:1\n']) {
      expect(await exchange(client, [hello('test', 'b', 'a', { peerAddress })])).toMatchObject({ code: Code.OK });
    }
    client.close();
    expect(a.transport.status()).toEqual([]);
  });
});

describe('R2: who is let in', () => {
  it('is decided by the function handed in, which sees what the peer says of itself', async () => {
    const seen: Greeting[] = [];
    const admit = async (greeting: Greeting) => {
      seen.push(greeting);
      return err({ reason: 'REMOVED', message: 'x was removed' } as const);
    };
    const a = await member({ id: 'a', identity: { admit } });
    const client = new Client(at(a.port), credentials.createInsecure());
    const says = { peerAddress: 'h:1', clientAddress: '[::1]:2', featureLevel: 7 };
    const status = await exchange(client, [hello('test', 'x', 'a', says)]);
    client.close();
    expect(status).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: 'REMOVED', message: 'x was removed' });
    expect(seen).toEqual([{ from: 'x', incarnation: identityOf('x').incarnation, membersDigest: '', ...says }]);
  });

  it('a member that joined later has no first list of members to compare', async () => {
    const a = await member({ id: 'a', admits: ['b'] });
    const b = await member({ id: 'b', peers: { a: a.port }, identity: { membersDigest: '' } });
    await vi.waitFor(() => expect(connected(b, A)).toBe(true), WAIT);
  });

  it('an answer in the name of another member is not taken', async () => {
    const c = await member({ id: 'c', admits: ['a'] });
    const a = await member({ id: 'a', peers: { b: c.port } });
    await vi.waitFor(() => expect(a.log.map(({ why }) => why ?? '').join()).toContain('this is member c'), WAIT);
    expect(connected(a, B)).toBe(false);
  });
});

describe('R9: feature levels', () => {
  it('are those that connected peers announced', async () => {
    const b = await member({ id: 'b', admits: ['a'], identity: { featureLevel: 1 } });
    const c = await member({ id: 'c', admits: ['a'], identity: { featureLevel: 3 } });
    const a = await member({ id: 'a', peers: { b: b.port, c: c.port } });
    const both = new Map([
      [B, 1],
      [C, 3],
    ]);
    await vi.waitFor(() => expect(a.transport.featureLevels()).toEqual(both), WAIT);
    await c.stop();
    await vi.waitFor(() => expect(a.transport.featureLevels()).toEqual(new Map([[B, 1]])), WAIT);
  });
});

describe('R9: a peer of an older version', () => {
  it('is not sent what it cannot read: it would end the stream', async () => {
    const b = await member({ id: 'b', admits: ['a'], identity: { featureLevel: 1 } });
    const a = await member({ id: 'a', peers: { b: b.port } });
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    expect(a.transport.send(B, chunk(0))).toBe(false);
    expect(a.transport.send(B, { kind: 'stateHash', stream: DATA_STREAM, index: logIndex(1), hash: null })).toBe(false);
    expect(a.transport.send(B, heartbeat(A, B, 1))).toBe(true);
    await vi.waitFor(() => expect(b.received).toHaveLength(1), WAIT);
    expect([connected(a, B), a.unreachable]).toEqual([true, []]);
  });
});

describe('R4: an image on its way', () => {
  it('arrives whole and in order, and what comes after it does not wait for it', async () => {
    const b = await member({ id: 'b', admits: ['a'] });
    const a = await member({ id: 'a', peers: { b: b.port } });
    await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
    for (let i = 0; i < 40; i += 1) expect(a.transport.send(B, chunk(i))).toBe(true);
    // The first pieces are with the socket now.
    await vi.waitFor(() => expect(b.received.length).toBeGreaterThan(0), WAIT);
    a.transport.send(B, heartbeat(A, B, 7));
    await vi.waitFor(() => expect(b.received).toHaveLength(41), WAIT);
    const kinds = b.received.map(({ envelope }) => envelope.kind);
    expect(kinds.indexOf('raft')).toBeLessThan(20);
    const sequences = b.received.flatMap(({ envelope }) => ('sequence' in envelope ? [envelope.sequence] : []));
    expect(sequences).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });
});

describe('R2: asking an address who is there', () => {
  it('tells everything that adding a member needs', async () => {
    const a = await member({ id: 'a', identity: { joining: () => true } });
    expect(await identifyPeer(at(a.port), 5_000)).toEqual(
      ok({
        clusterId: 'test',
        memberId: 'a',
        incarnation: identityOf('a').incarnation,
        version: '9.9.9',
        featureLevel: 2,
        joining: true,
      }),
    );
  });

  it('says so, in time, when nobody is there', async () => {
    const port = await freePort();
    const answer = await identifyPeer(at(port), 200.4321);
    expect(answer).toEqual(err(`no member answers at 127.0.0.1:${port} within 200 ms: ECONNREFUSED`));
  });

  it('says only that there was no answer when somebody is there who does not speak', async () => {
    const mute = createServer(() => undefined);
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const answer = await identifyPeer(at(port), 100);
    mute.close();
    expect(answer).toEqual(err(`no member answers at 127.0.0.1:${port} within 100 ms: no answer in time`));
  });
});

/** A peer in a process of its own: takes any stream, answers with the hello given, and stays. */
const PEER = `
  import { Server, ServerCredentials } from '@grpc/grpc-js';
  const pass = (bytes) => bytes;
  const server = new Server();
  const exchange = {
    path: '/quorate.internal.v1.PeerService/Exchange', requestStream: true, responseStream: true,
    requestSerialize: pass, requestDeserialize: pass, responseSerialize: pass, responseDeserialize: pass,
  };
  const serve = (call) => call.once('data', () => call.write(Buffer.from(process.argv[1], 'hex')));
  server.addService({ exchange }, { exchange: serve });
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, port) => console.log(port));
`;

async function peerProcess(): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const answer = hello('test', 'b', 'a').toString('hex');
  const child = spawn(process.execPath, ['--input-type=module', '-e', PEER, answer], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  opened.push({ stop: async () => void child.kill('SIGKILL') });
  const [line] = (await once(must(child.stdout, 'stdout'), 'data')) as [Buffer];
  return { child, port: Number(line.toString()) };
}

describe('A4: a peer whose process dies', () => {
  it('is reported within milliseconds, also when nothing was being sent', async () => {
    const tookMs: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const { child, port } = await peerProcess();
      let reported: (at: number) => void = () => undefined;
      const reportedAt = new Promise<number>((resolve) => {
        reported = resolve;
      });
      const a = await member({ id: 'a', peers: { b: port }, onUnreachable: () => reported(performance.now()) });
      await vi.waitFor(() => expect(connected(a, B)).toBe(true), WAIT);
      const killedAt = performance.now();
      child.kill('SIGKILL');
      tookMs.push((await reportedAt) - killedAt);
      expect(a.unreachable).toEqual([B]);
    }
    // The kernel closes the sockets of a dead process. No timer of ours comes into it: the shortest, a keepalive, is seconds.
    expect(tookMs.sort((x, y) => x - y)[2]).toBeLessThan(50);
  });

  it('is reported even when only its own stream was there', async () => {
    const a = await member({ id: 'a', peers: { b: await freePort() } });
    const client = new Client(at(a.port), credentials.createInsecure());
    const stream = exchange(client, [hello('test', 'b', 'a')], true);
    await vi.waitFor(() => expect(stream.answered).toBe(true), WAIT);
    expect(a.unreachable).toEqual([]);
    stream.cancel();
    await vi.waitFor(() => expect(a.unreachable).toEqual([B]), WAIT);
    client.close();
  });

  it('is reconnected to as soon as it is heard again, however long the pause has grown', async () => {
    const portB = await freePort();
    const limits = { reconnectMinMs: 60_000, reconnectMaxMs: 60_000 };
    const a = await member({ id: 'a', peers: { b: portB }, limits });
    await vi.waitFor(() => expect(a.log.map(({ msg }) => msg)).toContain('cannot reach peer'), WAIT);
    const b = await member({ id: 'b', port: portB, peers: { a: a.port } });
    await vi.waitFor(() => expect([connected(b, A), connected(a, B)]).toEqual([true, true]), WAIT);
  });
});
