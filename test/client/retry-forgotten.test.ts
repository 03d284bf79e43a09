/** R6: an unknown outcome stays unknown until the state says more, however late or often it is asked for again. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import pino from 'pino';
import { afterEach, expect, test } from 'vitest';
import { createApi } from '../../src/api/server.ts';
import { IndeterminateError, QuorateClient, QuorateError } from '../../src/client/client.ts';
import { createMachine } from '../../src/machine/machine.ts';
import type { MemberPort, MutationOutcome } from '../../src/node/types.ts';
import { clusterId, logIndex, memberId, term } from '../../src/types/ids.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const c of cleanups.splice(0).reverse()) await c();
});

/** The real API over the real machine; `unknown` swallows the answer of a command that WAS applied. */
/** What no test here looks at. */
const WELL = { alarms: [], transfers: [], featureLevel: 2, featureLevels: new Map(), removed: false };

async function serve(unknown: (loop: string, n: number) => boolean) {
  const machine = createMachine();
  let index = 0;
  const seen = new Map<string, number>();
  const port = {
    async mutate(_s: unknown, request: never): Promise<MutationOutcome> {
      const at = logIndex(++index);
      const command = { timeMs: Date.now() as never, ...(request as object) } as never;
      const { result, replayed } = machine.apply({ index: at, term: term(1), command });
      const body = (command as { body: { kind: string; loop?: string } }).body;
      const n = (seen.get(body.loop ?? '') ?? 0) + 1;
      seen.set(body.loop ?? '', n);
      if (body.kind === 'createLoop' && unknown(body.loop ?? '', n)) return { kind: 'indeterminate', message: 'lost' };
      return { kind: 'applied', index: at, term: term(1), replayed, result: result as never };
    },
    async read() {
      return { kind: 'ready', view: machine };
    },
    local: () => machine,
    watch: () => null,
    status: () => ({
      stream: 1,
      raft: {
        id: 'm',
        leader: 'm',
        role: 'leader',
        term: 1,
        lastIndex: index,
        durableIndex: index,
        commitIndex: index,
        peers: [],
        firstIndex: 1,
        configurationIndex: 0,
        recovering: false,
        configuration: { voters: ['m'], votersOutgoing: [], learners: [] },
      },
      appliedIndex: index,
      stateHash: '',
      sessions: 0,
      waitingProposals: 0,
      watches: 0,
      ...WELL,
      storedIndex: index,
      fault: null,
    }),
  } as unknown as MemberPort;
  const server = new Server();
  const address = { id: memberId('m'), clientAddress: '', peerAddress: '' };
  const api = createApi({
    member: port,
    clusterId: clusterId('c'),
    memberId: memberId('m'),
    members: [address],
    identify: async (at) => ({ ok: false, error: `no member answers at ${at}` }),
    version: '0',
    logger: pino({ level: 'silent' }),
  });
  api.addTo(server);
  const portNumber = await new Promise<number>((ok, no) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? no(e) : ok(p))),
  );
  (address as { clientAddress: string }).clientAddress = `127.0.0.1:${portNumber}`;
  cleanups.push(() => server.forceShutdown());
  const client = await QuorateClient.connect({ endpoints: [`127.0.0.1:${portNumber}`], deadlineMs: 1500 });
  cleanups.push(() => client.close());
  return { client, machine };
}
const failure = (p: Promise<unknown>) =>
  p.then(
    () => undefined,
    (e: unknown) => e,
  );

test('retry() after the sequence had to make room stays unknown', async () => {
  const { client, machine } = await serve((loop) => loop === 'x');
  const session = await client.openSession();
  const first = await failure(session.createLoop('x', { deadlineMs: 200 }));
  expect(first).toBeInstanceOf(IndeterminateError);
  expect(machine.loop('x')).not.toBeNull(); // it WAS carried out
  for (let i = 0; i < 140; i++) await session.createLoop(`y${i}`);
  const again = await failure((first as IndeterminateError).retry());

  expect(again).toBeInstanceOf(IndeterminateError);
});

test('retry() asked twice does not say "certainly not carried out"', async () => {
  let lose = true;
  const { client, machine } = await serve((loop) => loop === 'x' && lose);
  const session = await client.openSession();
  const first = await failure(session.createLoop('x', { deadlineMs: 200 }));
  expect(first).toBeInstanceOf(IndeterminateError);
  lose = false;
  await (first as IndeterminateError).retry(); // the first answer
  const again = await failure((first as IndeterminateError).retry());

  expect(machine.loop('x')).not.toBeNull();
  expect(again).not.toBeInstanceOf(QuorateError);
});
