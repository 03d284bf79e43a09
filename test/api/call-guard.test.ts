/** The guard of the client port: what it says of streams that it ends, and what handlers of streams can do. */
import { type AddressInfo, connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { Server, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { callGuard, controlOf } from '../../src/api/call-guard.ts';
import { PipelineService } from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { methodPath, rawDefinition } from '../../src/rpc/service.ts';
import { bind } from '../transport/support.ts';
import { CANCEL, framed, RawClient } from './raw-call.ts';

const WAIT = { timeout: 5_000, interval: 2 };
const PATH = methodPath(PipelineService.method.execute);
const MESSAGE = Buffer.alloc(10);
const HALF = framed(MESSAGE).subarray(0, 8);
const PARTIAL_MS = 100;

type Call = ServerDuplexStream<Buffer, Buffer>;

let server: Server;
let client: RawClient;
let calls: Call[];
let received: number;
let onCall: (call: Call) => void;

/** A connection through which nothing comes back when it is told so. */
class StuckLink {
  readonly #server: NetServer;
  #far: Socket | null = null;

  private constructor(port: number) {
    this.#server = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      this.#far = far;
      near.on('error', () => undefined);
      far.on('error', () => undefined);
      near.pipe(far).pipe(near);
      near.once('close', () => far.destroy());
    });
  }

  static async to(port: number): Promise<StuckLink> {
    const link = new StuckLink(port);
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get open(): boolean {
    return this.#far?.destroyed === false;
  }

  stick(): void {
    this.#far?.unpipe();
    this.#far?.pause();
  }

  close(): void {
    this.#far?.destroy();
    this.#server.close();
  }
}

beforeEach(async () => {
  calls = [];
  received = 0;
  onCall = () => undefined;
  server = new Server({ interceptors: [callGuard({ partialMs: PARTIAL_MS })] });
  const execute = (call: Call): void => {
    calls.push(call);
    onCall(call);
    call.on('data', () => {
      received += 1;
    });
  };
  server.addService(rawDefinition(PipelineService), { execute });
  client = new RawClient(`127.0.0.1:${await bind(server, 0)}`);
});
afterEach(() => {
  client.close();
  server.forceShutdown();
});

describe('a stream of requests', () => {
  it('is not told that the member would take compressed ones', async () => {
    onCall = (call) => void call.write(MESSAGE);
    const call = client.call(PATH);
    expect(await call.answering).toMatchObject({ 'grpc-accept-encoding': 'identity' });
  });

  it.each([
    [
      'says that nothing was done, when its first request is not complete in time',
      0,
      'DEADLINE_EXPIRED',
      'nothing was done',
    ],
    ['says no such thing behind a request', 1, 'INDETERMINATE', 'has no answer may be done'],
  ])('%s', async (_, before, reason, text) => {
    const call = client.call(PATH);
    for (let i = 0; i < before; i += 1) call.send(MESSAGE);
    await vi.waitFor(() => expect(received).toBe(before), WAIT);
    call.write(HALF);
    expect(await call.status).toMatchObject({ reason, message: expect.stringContaining(text) });
  });

  it('may take its time between requests', async () => {
    const call = client.call(PATH);
    call.send(MESSAGE);
    await vi.waitFor(() => expect(received).toBe(1), WAIT);
    const other = client.call(PATH);
    other.write(HALF);
    // Its time began later, and is over.
    expect(await other.status).toMatchObject({ reason: 'DEADLINE_EXPIRED' });
    call.send(MESSAGE);
    await vi.waitFor(() => expect(received).toBe(2), WAIT);
  });

  it('is read one by one where its handler asks for that, and says that it ends when it is asked', async () => {
    onCall = (call) => controlOf(call).readOneByOne();
    const call = client.call(PATH);
    let ended = false;
    const large = Buffer.alloc(200_000);
    for (let i = 0; i < 10; i += 1) call.send(large);
    call.stream.end();
    await vi.waitFor(() => expect(calls).toHaveLength(1), WAIT);
    const [served] = calls;
    served?.on('end', () => {
      ended = true;
    });
    const control = served === undefined ? null : controlOf(served);
    for (let asked = 1; asked <= 10; asked += 1) {
      control?.readNext();
      control?.readNext();
      await vi.waitFor(() => expect(received).toBe(asked), WAIT);
      const round = client.call('/nothing');
      await round.status;
      expect(received).toBe(asked);
      // What is not asked for stays with the client, but for what a window holds.
      expect(call.sent).toBeLessThanOrEqual(asked + 1);
    }
    expect(ended).toBe(false);
    control?.readNext();
    await vi.waitFor(() => expect(ended).toBe(true), WAIT);
  });

  it('is given up, too, where the connection itself is stuck', async () => {
    const { port } = new URL(`http://${client.address}`);
    const link = await StuckLink.to(Number(port));
    const stuck = new RawClient(link.address, 1 << 30);
    try {
      await stuck.openConnection(1 << 30);
      const call = stuck.call(PATH);
      call.send(MESSAGE);
      await vi.waitFor(() => expect(received).toBe(1), WAIT);
      link.stick();
      const [served] = calls;
      let taken = 0;
      const pieces = 64;
      const onTaken = (): void => {
        taken += 1;
      };
      for (let i = 0; i < pieces; i += 1) served?.write(Buffer.alloc(1_000_000), onTaken);
      // The system's own buffers are full when nothing moves any more.
      for (let still = 0, before = -1; still < 20; still = taken === before ? still + 1 : 0) {
        before = taken;
        await client.call('/nothing').status;
      }
      const closed = new Promise((resolve) => served?.once('close', resolve));
      if (served !== undefined) controlOf(served).cut();
      await closed;
      expect(taken).toBeLessThan(pieces);
      expect(link.open).toBe(true);
    } finally {
      stuck.close();
      link.close();
    }
  });

  it('is cut at once, past what its client has not taken, and its handler hears of it', async () => {
    const unwilling = new RawClient(client.address, 0);
    try {
      const call = unwilling.call(PATH);
      call.send(MESSAGE);
      await vi.waitFor(() => expect(received).toBe(1), WAIT);
      const [served] = calls;
      const cancelled = new Promise((resolve) => served?.once('cancelled', resolve));
      const closed = new Promise((resolve) => served?.once('close', resolve));
      served?.write(Buffer.alloc(1_000_000));
      await call.answering;
      if (served !== undefined) controlOf(served).cut();
      expect(await call.closed).toBe(CANCEL);
      expect(await call.status).toBeNull();
      await Promise.all([cancelled, closed]);
      if (served !== undefined) controlOf(served).cut();
    } finally {
      unwilling.close();
    }
  });
});
