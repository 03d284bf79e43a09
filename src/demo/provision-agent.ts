/**
 * The provisioning agent: takes a round through ANALYZE → CONSTRUCT → VALIDATE. CONSTRUCT makes things in the outside world,
 * each on record before and after (L1), and writes documents in the name of the phase (P6). It sends no heartbeats: that it
 * is gone is found out by the adaptive timeout (D1).
 */
import { checkpointCrc, type PhaseRef, QuorateClient, type Session } from '../client/client.ts';
import { type AgentPort, performAttempt } from './attempt.ts';
import { wallMs } from './protocol.ts';
import { CREATED, documentOf, effectKey, inventoryOf, THINGS } from './provision.ts';
import { settled } from './recorder.ts';

const SESSION_TTL_MS = 30_000;
/** Mutations ride out a failover inside one deadline, milliseconds. */
const DEADLINE_MS = 15_000;

export interface ProvisionOptions {
  readonly endpoints: readonly string[];
  readonly caller: string;
  readonly loop: string;
  readonly g: number;
  /** URL of the outside world. */
  readonly provider: string;
  /** Holds when so many things are confirmed and one more is made; null: never. */
  readonly holdAt: number | null;
}

interface Work {
  readonly options: ProvisionOptions;
  readonly port: AgentPort;
  readonly client: QuorateClient;
  readonly session: Session;
  readonly ref: PhaseRef;
  readonly attempt: number;
  readonly token: number;
}

/** Writes a document of the phase: a rollback takes it back. null: there is none from now on. */
async function write({ client, session, ref, token }: Work, name: string, content: string | null): Promise<void> {
  const { documents } = session;
  const by = { ref, token };
  const expectedVersion = (await documentOf(client, ref.loop, name))?.version ?? 0;
  if (content !== null) await settled(documents.put(ref.loop, name, content, { expectedVersion, by }));
  else if (expectedVersion > 0) await settled(documents.delete(ref.loop, name, { expectedVersion, by }));
}

async function make({ options, port, ref }: Work, key: string, done: number): Promise<string> {
  const { provider, holdAt } = options;
  const thing = THINGS[done] ?? key;
  const response = await fetch(`${provider}/things`, { method: 'POST', body: JSON.stringify({ key, name: thing }) });
  if (!response.ok) throw new Error(`the provider answered ${response.status} for ${thing}`);
  if (done === holdAt) {
    port.tell({ kind: 'hold', phase: ref.phase, done });
    await port.waitForGo();
  }
  return key;
}

async function construct(work: Work): Promise<string> {
  const { options, port, session, ref, attempt, token } = work;
  await write(work, 'draft', null);
  await write(work, 'contacts', options.caller);
  for (const [done, thing] of THINGS.entries()) {
    const key = effectKey(ref, attempt, thing);
    const compensator = { kind: 'http', target: `${options.provider}/compensate`, payload: thing } as const;
    await session.ledger.effect(ref, token, { key, description: thing, compensator }, () => make(work, key, done));
    await write(work, 'inventory', inventoryOf(THINGS.slice(0, done + 1)));
    const completed = done + 1;
    const subSteps = [{ id: thing, result: key }];
    const checkpoint = { checkpoint: thing, checkpointCrc: checkpointCrc(thing) };
    const report = { total: THINGS.length, completed, subSteps, ...checkpoint };
    const { term } = await settled(session.reportProgress(ref, token, report));
    port.tell({ kind: 'recorded', phase: ref.phase, done: completed, total: THINGS.length, term, atMs: wallMs() });
  }
  await write(work, CREATED, 'at the address');
  return `${THINGS.length} things`;
}

/** What is on record must be what was wanted. */
async function validate({ client, ref }: Work): Promise<string> {
  const confirmed: string[] = [];
  for await (const { state, description } of client.ledger.list({ ...ref, phase: 'CONSTRUCT' })) {
    if (state === 'CONFIRMED') confirmed.push(description);
  }
  const wanted = inventoryOf(THINGS);
  const told = (await documentOf(client, ref.loop, 'inventory'))?.content;
  if (inventoryOf(confirmed) !== wanted || told !== wanted) {
    throw new Error(`confirmed are ${inventoryOf(confirmed)}, the inventory says ${told}, wanted are ${wanted}`);
  }
  return 'as wanted';
}

const PHASES: Readonly<Record<string, (work: Work) => Promise<string>>> = {
  ANALYZE: async () => inventoryOf(THINGS),
  CONSTRUCT: construct,
  VALIDATE: validate,
};

/** Runs what is left of one round. */
export async function runProvisionAgent(options: ProvisionOptions, port: AgentPort): Promise<void> {
  const { endpoints, caller } = options;
  await using client = await QuorateClient.connect({ endpoints, caller, deadlineMs: DEADLINE_MS });
  await using session = await client.openSession({ ttlMs: SESSION_TTL_MS });
  const { loop } = await client.getLoop(options.loop);
  if (loop.g !== options.g) throw new Error(`the open round of ${loop.name} is ${loop.g}, not ${options.g}`);
  for (const { ref, state } of loop.runs) {
    if (state === 'CLEAN_EXIT') continue;
    const phase = PHASES[ref.phase];
    if (phase === undefined) throw new Error(`this agent does not know the phase ${ref.phase}`);
    const begun = await settled(session.beginPhase(ref));
    const { attempt, token } = begun;
    const work = { options, port, client, session, ref, attempt, token };
    await performAttempt({ session, ref, begun, tell: port.tell }, () => phase(work));
  }
}
