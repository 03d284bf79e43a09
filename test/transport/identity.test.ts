/** Who is let in: the same list of members, and the data folder that a peer always had. */
import { Client, status as Code, credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AdmissionRefusal, PeerIdentity } from '../../src/transport/hello.ts';
import type { MemberId } from '../../src/types/ids.ts';
import { err, ok, type Result } from '../../src/types/result.ts';
import { exchange, frameOf, heartbeatMessage, hello } from './by-hand.ts';
import {
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
const WIPED = 'f'.repeat(32);
const opened: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const it of opened.splice(0)) await it.stop();
});

async function pair(a: Partial<MemberInit>, b: Partial<MemberInit>): Promise<[TestMember, TestMember]> {
  const [portA, portB] = [await freePort(), await freePort()];
  const peers = { a: portA, b: portB };
  const one = await startMember({ id: 'a', port: portA, peers, ...a });
  const two = await startMember({ id: 'b', port: portB, peers, ...b });
  opened.push(one, two);
  return [one, two];
}

async function alone(init: Partial<MemberInit> = {}): Promise<TestMember> {
  const a = await startMember({ id: 'a', port: 0, peers: { b: await freePort() }, ...init });
  opened.push(a);
  return a;
}

function client(of: TestMember): Client {
  const it = new Client(`127.0.0.1:${of.port}`, credentials.createInsecure());
  opened.push({ stop: async () => it.close() });
  return it;
}

/** Remembers the first incarnation of each peer, as members do. */
function memory(): Pick<PeerIdentity, 'admit'> {
  const known = new Map<MemberId, string>();
  return {
    admit: async ({ from, incarnation }) => {
      const first = known.get(from) ?? incarnation;
      known.set(from, first);
      if (first === incarnation) return ok(undefined);
      return err({ reason: 'WRONG_INCARNATION', message: `${from} lost its folder` });
    },
  };
}

/** An `admit` that a test decides on. */
function decided(): Pick<PeerIdentity, 'admit'> & {
  readonly asked: ((outcome: Result<void, AdmissionRefusal>) => void)[];
} {
  const asked: ((outcome: Result<void, AdmissionRefusal>) => void)[] = [];
  return { asked, admit: () => new Promise((resolve) => asked.push(resolve)) };
}

const whys = (of: TestMember, start: string): string[] =>
  of.log.filter((line) => line.msg.startsWith(start)).map((line) => line.why ?? '');

describe('another list of members', () => {
  it('is refused both ways, and each side says so once', async () => {
    const [a, b] = await pair({}, { identity: { membersDigest: 'other' } });
    for (const one of [a, b]) {
      await vi.waitFor(
        () => expect(whys(one, 'cannot reach peer').join()).toContain('different lists of members'),
        WAIT,
      );
      await vi.waitFor(() => expect(whys(one, 'refused a stream')).toHaveLength(1), WAIT);
    }
    expect(await exchange(client(a), [hello('test', 'b', 'a', { membersDigest: 'other' })])).toMatchObject({
      code: Code.FAILED_PRECONDITION,
      reason: 'WRONG_MEMBERS',
      message: expect.stringContaining(
        'b and a were started with different lists of members, or from different backups',
      ),
    });
    expect([...a.received, ...b.received]).toEqual([]);
    expect(whys(a, 'refused a stream')).toHaveLength(1);
  });

  it('is noticed before the data folder is: its owner can still correct it', async () => {
    const admit = vi.fn(async () => ok(undefined));
    const a = await alone({ identity: { admit } });
    expect((await exchange(client(a), [hello('test', 'b', 'a', { membersDigest: 'x' })])).reason).toBe('WRONG_MEMBERS');
    expect(admit).not.toHaveBeenCalled();
  });
});

describe('another data folder', () => {
  it('is refused both ways: the member that lost its own neither hears nor is heard', async () => {
    const remembers = memory();
    await remembers.admit({
      from: 'b' as MemberId,
      featureLevel: 2,
      incarnation: identityOf('b').incarnation,
      peerAddress: '',
      clientAddress: '',
      membersDigest: '',
    });
    const [a, b] = await pair({ identity: remembers }, { identity: { incarnation: WIPED } });
    // It is told why, and so are its peers.
    await vi.waitFor(() => expect(whys(b, 'cannot reach peer')).toContain('b lost its folder'), WAIT);
    await vi.waitFor(() => expect(whys(a, 'cannot reach peer')).toContain('b lost its folder'), WAIT);
    await vi.waitFor(() => expect(whys(a, 'refused a stream')).toContain('b lost its folder'), WAIT);
    a.transport.send(b.id, heartbeat(a.id, b.id, 1));
    b.transport.send(a.id, heartbeat(b.id, a.id, 1));
    expect([connected(a, b.id), connected(b, a.id)]).toEqual([false, false]);
    const status = await exchange(client(a), [
      hello('test', 'b', 'a', { incarnation: WIPED }),
      frameOf([heartbeatMessage('b', 'a')]),
    ]);
    expect(status).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: 'WRONG_INCARNATION' });
    expect([...a.received, ...b.received]).toEqual([]);
    expect(whys(a, 'refused a stream')).toHaveLength(1);
  });

  it('is fine again when the old one is back', async () => {
    const remembers = memory();
    const ports = [await freePort(), await freePort()] as const;
    const peers = { a: ports[0], b: ports[1] };
    const start = async (id: 'a' | 'b', identity: Partial<PeerIdentity>): Promise<TestMember> => {
      const started = await startMember({ id, port: peers[id], peers, identity });
      opened.push(started);
      return started;
    };
    const a = await start('a', remembers);
    const first = await start('b', {});
    await vi.waitFor(() => expect(connected(a, first.id)).toBe(true), WAIT);
    await first.stop();
    const wiped = await start('b', { incarnation: WIPED });
    await vi.waitFor(() => expect(whys(a, 'refused a stream')).toContain('b lost its folder'), WAIT);
    await wiped.stop();
    const back = await start('b', {});
    await vi.waitFor(() => expect([connected(a, back.id), connected(back, a.id)]).toEqual([true, true]), WAIT);
  });

  it.each(['', 'abc', 'F'.repeat(32), 'f'.repeat(33)])('that is none is refused: %j', async (incarnation) => {
    const a = await alone();
    const status = await exchange(client(a), [hello('test', 'b', 'a', { incarnation })]);
    expect(status).toMatchObject({ code: Code.FAILED_PRECONDITION, reason: 'WRONG_INCARNATION' });
    expect(status.message).toContain('does not say which data folder it has');
  });
});

describe('while the data folder of a peer is written down', () => {
  it('nothing is read from its stream or answered; afterwards everything is there, in order', async () => {
    const { admit, asked } = decided();
    const a = await alone({ identity: { admit } });
    const frames = Array.from({ length: 50 }, (_, i) => frameOf([heartbeatMessage('b', 'a', BigInt(i))]));
    const stream = exchange(client(a), [hello('test', 'b', 'a'), ...frames]);
    await vi.waitFor(() => expect(asked).toHaveLength(1), WAIT);
    // A round trip on another stream: what the first one had to say has arrived.
    await exchange(client(a), [hello('other', 'b', 'a')]);
    expect(a.received).toEqual([]);
    expect(stream.answered).toBe(false);
    asked[0]?.(ok(undefined));
    expect(await stream).toMatchObject({ code: Code.OK });
    expect(sequences(a)).toEqual(frames.map((_, i) => i));
    expect(stream.answered).toBe(true);
  });

  it('nothing is sent to it', async () => {
    const { admit, asked } = decided();
    const [a, b] = await pair({ identity: { admit }, limits: { helloTimeoutMs: 5_000 } }, {});
    // Once for the stream of each side.
    await vi.waitFor(() => expect(asked).toHaveLength(2), WAIT);
    a.transport.send(b.id, heartbeat(a.id, b.id, 1));
    expect(connected(a, b.id)).toBe(false);
    for (const decide of asked) decide(ok(undefined));
    await vi.waitFor(() => expect([connected(a, b.id), connected(b, a.id)]).toEqual([true, true]), WAIT);
    a.transport.send(b.id, heartbeat(a.id, b.id, 2));
    await vi.waitFor(() => expect(sequences(b)).toEqual([2]), WAIT);
  });

  it('time passes: a disk that does not answer is no excuse', async () => {
    const { admit, asked } = decided();
    const a = await alone({ identity: { admit }, limits: { helloTimeoutMs: 50 } });
    const stream = exchange(client(a), [hello('test', 'b', 'a'), frameOf([heartbeatMessage('b', 'a')])]);
    expect(await stream).toMatchObject({ code: Code.DEADLINE_EXCEEDED, reason: 'HELLO_EXPECTED' });
    asked[0]?.(ok(undefined));
    await exchange(client(a), [hello('other', 'b', 'a')]);
    expect(stream.answered).toBe(false);
    expect(a.received).toEqual([]);
  });

  it('the transport may stop', async () => {
    const { admit, asked } = decided();
    const a = await alone({ identity: { admit } });
    const stream = exchange(client(a), [hello('test', 'b', 'a'), frameOf([heartbeatMessage('b', 'a')])], true);
    await vi.waitFor(() => expect(asked).toHaveLength(1), WAIT);
    a.transport.stop();
    asked[0]?.(ok(undefined));
    expect(await stream).toMatchObject({ code: Code.UNAVAILABLE, reason: 'SHUTTING_DOWN' });
    expect(a.received).toEqual([]);
  });

  it('a failing disk refuses the peer, which comes again', async () => {
    let broken = true;
    const admit = async (): Promise<Result<void, AdmissionRefusal>> => {
      if (broken) throw new Error('the disk is full');
      return ok(undefined);
    };
    const [a, b] = await pair({ identity: { admit } }, {});
    const message = 'a cannot write down which data folder b has: the disk is full';
    await vi.waitFor(() => expect(whys(b, 'cannot reach peer')).toContain(message), WAIT);
    await vi.waitFor(() => expect(whys(a, 'cannot reach peer')).toContain(message), WAIT);
    expect(await exchange(client(a), [hello('test', 'b', 'a')])).toMatchObject({
      code: Code.UNAVAILABLE,
      reason: 'IDENTITY_NOT_WRITTEN',
    });
    broken = false;
    await vi.waitFor(() => expect([connected(a, b.id), connected(b, a.id)]).toEqual([true, true]), WAIT);
  });
});
